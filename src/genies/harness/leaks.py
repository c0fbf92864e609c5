"""Leaving leaked test examples out of figures: those whose prompt the model was tuned on.

The evaluations on disk stay whole; what is left of one is computed from its probabilities, so that any intervention's
evaluation serves, old or new, and nothing is evaluated again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genies.contract import Evaluation
from genies.data.audit.overlap import leaked_test_examples
from genies.data.distribution import Distribution
from genies.data.evaluated import example_indices, without_examples


@dataclass(frozen=True)
class Remainder:
    """What is left of an evaluation without the leaked examples."""

    evaluation: Evaluation | None
    """None where nothing is left, or where it cannot be known which pairs leak."""
    left_out: int | None
    """Pairs that were left out; None where that cannot be known."""


class Leaks:
    """Which test examples leak, by the audit's rule: the prompt stands, character by character, in the train split.

    folder_of: the folder of a distribution by its name. The data is read when it is first needed, and once; InputError
    for a distribution that is not there or is malformed.
    """

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self._folder_of = folder_of
        self._read: dict[str, Distribution] = {}
        self._leaked: dict[tuple[str, str], frozenset[int]] = {}
        self.holes: dict[str, None] = {}
        """Messages about the evaluations that could not be reduced, each once, in order."""

    def leaked(self, trained_on: str, tested_on: str) -> frozenset[int]:
        """Indices of the test examples of `tested_on` whose prompt stands in the train split of `trained_on`."""
        key = trained_on, tested_on
        if key not in self._leaked:
            train, test = self._distribution(trained_on).train, self._distribution(tested_on).test
            self._leaked[key] = frozenset(leaked_test_examples(train, test))
        return self._leaked[key]

    def remainder(
        self, evaluation: Evaluation, trained_on: str, tested_on: str, name: str, optional: bool = False
    ) -> Remainder:
        """An evaluation on `tested_on` without what leaks from `trained_on`; `name` is what messages call it.

        An evaluation of which nothing leaks is left as it is, whatever it holds. An `optional` one that cannot be
        reduced is no hole.
        """
        leaked = self.leaked(trained_on, tested_on)
        if not leaked:
            return Remainder(evaluation, 0)
        indices = example_indices(evaluation, self._distribution(tested_on).test)
        if optional and (indices is None or leaked.issuperset(indices)):
            return Remainder(None, None)
        if indices is None:
            what = "which pairs belong to which example" if evaluation.eval_probabilities else "any probabilities"
            self.holes[
                f"{name}: {len(leaked)} test examples of {tested_on} leak from {trained_on} and cannot be left out, "
                f"for the evaluation does not hold {what}"
            ] = None
            return Remainder(None, None)
        left_out = sum(index in leaked for index in indices)
        if left_out == len(indices):
            self.holes[f"{name}: every test example of {tested_on} leaks from {trained_on}; none is left"] = None
            return Remainder(None, left_out)
        rule = f"prompt in the train split of {trained_on}"
        return Remainder(without_examples(evaluation, indices, leaked, rule), left_out)

    def _distribution(self, name: str) -> Distribution:
        if name not in self._read:
            self._read[name] = Distribution(self._folder_of(name))
        return self._read[name]
