"""Figures as the 2023 release computed them, for comparison with its files only."""

from __future__ import annotations

import random

import numpy as np

from genies.metrics.probabilities import Floats, Probabilities, checked


def accuracy_published(probabilities: Probabilities) -> float:
    """Accuracy as the 2023 release counts it, for comparison only: a tie is a point, mean([p >= 0.5]).

    >>> accuracy_published([0.9, 0.5, 0.2, 0.7])
    0.75
    """
    return float(np.mean(checked(probabilities) >= 0.5))


def rms_calibration_error_published(probabilities: Probabilities) -> float | None:
    """What the 2023 release calls RMS calibration error, for comparison only; None where the release has NaN.

    With r and labels from published_presentation: five bins by numpy.digitize(r, linspace(0, 1, 6)), so that r = 1
    falls outside and is dropped; bins under 20 members are skipped; then the root of the unweighted mean over bins
    of (mean of ALL labels - mean r in the bin)^2. It is no calibration error: the labels of the bin take no part,
    so that always right and always wrong come out alike.

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
    """Predictions and labels as the 2023 release draws them: each pair once, in an order drawn with seed 42.

    The label of a pair is random.choice([0, 1]); its prediction is p where the label is 1, else 1 - p.

    >>> published_presentation([0.75, 0.75, 0.75, 0.75])
    (array([0.25, 0.25, 0.75, 0.25]), array([0., 0., 1., 0.]))
    """
    p = checked(probabilities)
    draw = random.Random(42)
    labels = np.array([draw.choice([0, 1]) for _ in range(p.size)], dtype=np.float64)
    return np.where(labels == 1, p, 1 - p), labels
