"""Figures of evaluations, from the probability that each pair's best response was given.

Arithmetic is in float64; a score that is no probability is an InputError, never a point. The figures themselves are
here; `genies.metrics.intervals`, `elicitation`, `comparison` and `shift_means` say how sure one can be of them.
"""

from genies.metrics.calibration import ReliabilityBin, calibration_error, reliability_bins, rms_calibration_error
from genies.metrics.elicitation import differential_elicitation
from genies.metrics.pairs import accuracy, auroc, average_probability, brier_score, margin, ties
from genies.metrics.published import accuracy_published, published_presentation, rms_calibration_error_published

__all__ = [
    "ReliabilityBin",
    "accuracy",
    "accuracy_published",
    "auroc",
    "average_probability",
    "brier_score",
    "calibration_error",
    "differential_elicitation",
    "margin",
    "published_presentation",
    "reliability_bins",
    "rms_calibration_error",
    "rms_calibration_error_published",
    "ties",
]
