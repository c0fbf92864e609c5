"""Whether a probability means what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genies.errors import InputError
from genies.metrics.probabilities import Floats, Probabilities, checked


def rms_calibration_error(probabilities: Probabilities, n_bins: int = 5) -> float:
    """Root-mean-square calibration error (Hendrycks et al. 2019), weighted by bin size; 0 is perfect.

    Every pair counts twice, once for each order in which its responses can be shown: as (p, 1) and as (1 - p, 0).
    calibration_error of these: no random numbers, so the figure does not depend on the order of the pairs.

    >>> rms_calibration_error([0.75, 0.75, 0.75, 0.25])  # three of four right, at a confidence of three quarters
    0.0
    >>> rms_calibration_error([1.0, 1.0]), rms_calibration_error([0.0, 0.0]), rms_calibration_error([0.5, 0.5])
    (0.0, 1.0, 0.0)
    """
    error = calibration_error(*both_orders(probabilities), n_bins)
    assert error is not None  # every bin that has members counts
    return error


def calibration_error(
    predictions: Probabilities,
    labels: npt.ArrayLike,
    n_bins: int = 5,
    smallest_bin: int = 1,
    weighted: bool = True,
) -> float | None:
    """Root of the mean over bins b of (mean label_b - mean prediction_b)^2, bins weighted by their size or all alike.

    labels: 1.0 or 0.0 for each prediction. The bins are the `n_bins` equal parts of [0, 1], each with its lower edge,
    the last with 1 as well. Bins with fewer than `smallest_bin` members are left out; None when no bin is left.

    >>> calibration_error([0.9, 0.9, 0.1, 0.3], [1, 0, 0, 0])  # bin gaps 0.4 (2 members), 0.1 (1) and 0.3 (1)
    0.32403703492039304
    >>> calibration_error([0.9, 0.9, 0.1, 0.3], [1, 0, 0, 0], smallest_bin=3) is None
    True
    """
    r = checked(predictions)
    y = np.asarray(labels, dtype=np.float64)
    if y.shape != r.shape:
        raise InputError(f"expected one label for each of {r.size} predictions, got labels of shape {y.shape}")
    bins = bin_of(r, n_bins)
    members = [bins == each for each in range(n_bins)]
    members = [bin_ for bin_ in members if np.count_nonzero(bin_) >= max(smallest_bin, 1)]
    if not members:
        return None
    gaps = np.array([np.mean(y[bin_]) - np.mean(r[bin_]) for bin_ in members])
    weights = [np.count_nonzero(bin_) for bin_ in members] if weighted else None
    return float(np.sqrt(np.average(gaps**2, weights=weights)))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The presentations whose prediction lies in one part of [0, 1]; the means are None for an empty bin."""

    low: float
    """Lower edge, which belongs to the bin; the upper one belongs to the last bin only."""
    high: float
    count: int
    mean_prediction: float | None
    share_of_best: float | None
    """Share of the presentations in which the response asked about is the best one."""


def reliability_bins(probabilities: Probabilities, n_bins: int = 5) -> list[ReliabilityBin]:
    """What a reliability diagram shows (DeGroot and Fienberg 1983), every pair presented in both orders.

    The presentations and bins are those of rms_calibration_error, which is the root of the mean over presentations
    of (share_of_best - mean_prediction)^2.

    >>> [(bin_.count, bin_.mean_prediction, bin_.share_of_best) for bin_ in reliability_bins([0.75, 0.75, 0.25], 2)]
    [(3, 0.25, 0.3333333333333333), (3, 0.75, 0.6666666666666666)]
    """
    r, y = both_orders(probabilities)
    edges = np.linspace(0, 1, n_bins + 1)
    bins = bin_of(r, n_bins)
    found = []
    for number in range(n_bins):
        inside = bins == number
        count = int(np.count_nonzero(inside))
        means = (float(np.mean(r[inside])), float(np.mean(y[inside]))) if count else (None, None)
        found.append(ReliabilityBin(float(edges[number]), float(edges[number + 1]), count, *means))
    return found


def both_orders(probabilities: Probabilities) -> tuple[Floats, Floats]:
    """Predictions and labels, shape (2 pairs,) each: all (p, 1), then all (1 - p, 0)."""
    p = checked(probabilities)
    return np.concatenate([p, 1 - p]), np.concatenate([np.ones_like(p), np.zeros_like(p)])


def bin_of(predictions: Floats, n_bins: int) -> npt.NDArray[np.intp]:
    """The number, from 0, of each prediction's bin among `n_bins` equal parts of [0, 1]; 1 belongs to the last."""
    if n_bins < 1:
        raise InputError(f"expected at least 1 calibration bin, got {n_bins}")
    return np.minimum(np.digitize(predictions, np.linspace(0, 1, n_bins + 1)), n_bins) - 1
