"""The audit of distributions: what in the data itself would make a figure say less than it seems to.

`genies.data.audit.suite.audit` reads a folder of distributions and applies every rule; `leaked_test_examples` answers
for two splits which test examples a model has already seen. Texts are compared exactly: nothing is folded or stripped.
"""

from genies.data.audit.overlap import leaked_test_examples

__all__ = ["leaked_test_examples"]
