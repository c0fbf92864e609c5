"""Whether the figures of an evaluation agree with one another."""

from __future__ import annotations

from collections.abc import Sequence

from genies.contract import Evaluation

ACCURACY_TOLERANCE = 1e-6
"""What two orders of summing may differ by."""

ROUNDED_TOLERANCE = 1e-3
"""What an accuracy written with three decimals may differ by."""


def accuracy(probabilities: Sequence[float]) -> float:
    """Share above one half, a tie counting half.

    >>> accuracy([0.9, 0.5, 0.2, 0.7])
    0.625
    """
    return sum(1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0 for p in probabilities) / len(probabilities)


def accuracy_of_pairs(evaluation: Evaluation, tolerance: float = ACCURACY_TOLERANCE) -> float | None:
    """What eval_accuracy is by eval_probabilities, where it says otherwise; None where they agree or there are none."""
    if not evaluation.eval_probabilities:
        return None
    share = accuracy(evaluation.eval_probabilities)
    return share if abs(share - evaluation.eval_accuracy) > tolerance else None
