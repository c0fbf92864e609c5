"""Whether the accuracy of an evaluation agrees with its probabilities."""

from __future__ import annotations

from genies.evaluation_file import Evaluation
from genies.metrics.pairs import accuracy

ACCURACY_TOLERANCE = 1e-6
"""Largest difference between two orders of summation."""

ROUNDED_TOLERANCE = 1e-3
"""Largest difference of an accuracy that was written with three decimals."""


def accuracy_of_pairs(evaluation: Evaluation, tolerance: float = ACCURACY_TOLERANCE) -> float | None:
    """The accuracy of eval_probabilities if eval_accuracy differs; None if they agree or there are no probabilities."""
    if not evaluation.eval_probabilities:
        return None
    share = accuracy(evaluation.eval_probabilities)
    return share if abs(share - evaluation.eval_accuracy) > tolerance else None
