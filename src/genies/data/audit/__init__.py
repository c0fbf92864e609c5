"""The audit of distributions: defects in the data that make measured values less meaningful.

`genies.data.audit.suite.audit` reads a folder of distributions and applies all rules. `leaked_test_examples` returns
the test examples whose prompts are in a train split. Texts are compared exactly, without changes to case or white
space.
"""

from genies.data.audit.overlap import leaked_test_examples

__all__ = ["leaked_test_examples"]
