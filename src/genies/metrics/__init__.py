"""Metrics of evaluations, computed from the probability of the best response in each pair.

Arithmetic is in float64. Values that are not probabilities raise InputError. The metrics are re-exported here;
`genies.metrics.intervals`, `elicitation`, `shift_means` and `verdict` compute intervals and tests.
"""

from genies.metrics.calibration import (
    ReliabilityBin,
    calibration_error,
    calibration_error_of_calibrated,
    confidence,
    log_loss,
    reliability_bins,
    rms_calibration_error,
    rms_calibration_error_weighted,
)
from genies.metrics.elicitation import differential_elicitation
from genies.metrics.pairs import accuracy, auroc, average_probability, brier_score, margin, ties
from genies.metrics.probabilities import is_constant_half
from genies.metrics.published import accuracy_published, published_presentation, rms_calibration_error_published
from genies.metrics.several_responses import ResponseScores, best_of_n_accuracy, ties_score

__all__ = [
    "ReliabilityBin",
    "ResponseScores",
    "accuracy",
    "accuracy_published",
    "auroc",
    "average_probability",
    "best_of_n_accuracy",
    "brier_score",
    "calibration_error",
    "calibration_error_of_calibrated",
    "confidence",
    "differential_elicitation",
    "is_constant_half",
    "log_loss",
    "margin",
    "published_presentation",
    "reliability_bins",
    "rms_calibration_error",
    "rms_calibration_error_published",
    "rms_calibration_error_weighted",
    "ties",
    "ties_score",
]
