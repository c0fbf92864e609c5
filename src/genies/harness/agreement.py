"""Whether the figures of an evaluation agree with one another."""

from __future__ import annotations

from genies.contract import Evaluation
from genies.metrics.pairs import accuracy

ACCURACY_TOLERANCE = 1e-6
"""What two orders of summing may differ by."""

ROUNDED_TOLERANCE = 1e-3
"""What an accuracy written with three decimals may differ by."""


def accuracy_of_pairs(evaluation: Evaluation, tolerance: float = ACCURACY_TOLERANCE) -> float | None:
    """What eval_accuracy is by eval_probabilities, where it says otherwise; None where they agree or there are none."""
    if not evaluation.eval_probabilities:
        return None
    share = accuracy(evaluation.eval_probabilities)
    return share if abs(share - evaluation.eval_accuracy) > tolerance else None
