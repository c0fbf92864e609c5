"""Metrics as computed by the 2023 release, only for comparison with its files."""

from __future__ import annotations

import random

import numpy as np

from genies.metrics.probabilities import Floats, Probabilities, checked


def accuracy_published(probabilities: Probabilities) -> float:
    """Accuracy as in the 2023 release, for comparison only: a tie counts as correct, mean([p >= 0.5]).

    >>> accuracy_published([0.9, 0.5, 0.2, 0.7])
    0.75
    """
    return float(np.mean(checked(probabilities) >= 0.5))


def rms_calibration_error_published(probabilities: Probabilities) -> float | None:
    """The RMS calibration error of the 2023 release, for comparison only; None where the release has NaN.

    r and labels are from published_presentation. There are five bins by numpy.digitize(r, linspace(0, 1, 6)), which
    excludes r = 1. Bins with fewer than 20 members are skipped. The result is the root of the unweighted mean over bins
    of (mean of ALL labels - mean r in the bin)^2. It is not a calibration error: the labels of a bin are not used, so
    always right and always wrong have the same value.

    >>> rms_calibration_error_published([1.0] * 100) == rms_calibration_error_published([0.0] * 100)
    True
    >>> rms_calibration_error_published([0.5] * 19) is None
    True
    """
    r, labels = published_presentation(probabilities)
    bins = np.digitize(r, np.linspace(0, 1, 6))
    members = [bins == each for each in range(1, 6) if np.count_nonzero(bins == each) >= 20]
    if not members:
        return None
    return float(np.sqrt(np.mean([(np.mean(labels) - np.mean(r[bin_])) ** 2 for bin_ in members])))


def published_presentation(probabilities: Probabilities) -> tuple[Floats, Floats]:
    """Predictions and labels as in the 2023 release: each pair once, in a random order with seed 42.

    The label of a pair is random.choice([0, 1]). Its prediction is p if the label is 1, otherwise 1 - p.

    >>> published_presentation([0.75, 0.75, 0.75, 0.75])
    (array([0.25, 0.25, 0.75, 0.25]), array([0., 0., 1., 0.]))
    """
    p = checked(probabilities)
    draw = random.Random(42)
    labels = np.array([draw.choice([0, 1]) for _ in range(p.size)], dtype=np.float64)
    return np.where(labels == 1, p, 1 - p), labels
