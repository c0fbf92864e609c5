"""Exclude leaked test examples from metrics: examples whose prompt the model was tuned on.

Evaluation files are not changed. The metrics of the other examples are computed from the stored probabilities, so no
evaluation runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genies.data.audit.overlap import leaked_test_examples
from genies.data.distribution import Distribution
from genies.data.evaluated import example_indices, without_examples
from genies.evaluation_file import Evaluation


@dataclass(frozen=True)
class Remainder:
    """An evaluation without the leaked examples."""

    evaluation: Evaluation | None
    """None if no pair is left, or if it is unknown which pairs leak."""
    left_out: int | None
    """Number of excluded pairs; None if unknown."""


class Leaks:
    """Which test examples leak, by the audit's rule: the train split contains the identical prompt.

    folder_of: returns the folder of a distribution. Data is read once, when first needed; InputError for a missing or
    malformed distribution.
    """

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self._folder_of = folder_of
        self._read: dict[str, Distribution] = {}
        self._leaked: dict[tuple[str, str], frozenset[int]] = {}
        self.holes: dict[str, None] = {}
        """Messages about evaluations from which leaked examples could not be excluded, each once, in order."""

    def leaked(self, trained_on: str, tested_on: str) -> frozenset[int]:
        """Indices of the test examples of `tested_on` whose prompt is in the train split of `trained_on`."""
        key = trained_on, tested_on
        if key not in self._leaked:
            train, test = self._distribution(trained_on).train, self._distribution(tested_on).test
            self._leaked[key] = frozenset(leaked_test_examples(train, test))
        return self._leaked[key]

    def remainder(
        self, evaluation: Evaluation, trained_on: str, tested_on: str, name: str, optional: bool = False
    ) -> Remainder:
        """An evaluation on `tested_on` without the examples that leak from `trained_on`; `name` is for messages.

        If no example leaks, the evaluation is returned unchanged. If the examples of an `optional` one cannot be
        excluded, no message is added.
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
                f"{name}: {len(leaked)} test examples of {tested_on} leak from {trained_on} and cannot be excluded, "
                f"because the evaluation does not contain {what}"
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
