"""Calibration error, reliability bins and log loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.errors import InputError
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, Indices, Probabilities, checked, checked_labels

CONFIDENCE_BINS = 10
"""Number of equal bins over [0.5, 1] in rms_calibration_error and reliability_bins."""

FORMULA = "confidence"
"""Name of rms_calibration_error in `eval_rms_calibration_formula` and in the column RMS_calibration_formula."""

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""log_loss replaces smaller probabilities by this (as scikit-learn does), so the loss of a pair is at most 36.04."""


def confidence(probabilities: Probabilities) -> Floats:
    """max(p, 1 - p), the probability of the preferred response in each pair, shape (pairs,).

    >>> confidence([0.9, 0.25])
    array([0.9 , 0.75])
    """
    p = checked(probabilities)
    return np.maximum(p, 1 - p)


def rms_calibration_error(probabilities: Probabilities, n_bins: int = CONFIDENCE_BINS) -> float:
    """Root-mean-square calibration error of the confidence (Hendrycks et al. 2019); 0 is perfect.

    sqrt(sum_b n_b / n (mean right_b - mean confidence_b)^2) over `n_bins` equal bins b of the confidence in [0.5, 1];
    the last bin includes 1. right is 1 if p > 0.5, one half for a tie, otherwise 0. The estimate is biased upward in
    small samples; calibration_error_of_calibrated returns the expected value for a calibrated scorer.

    >>> rms_calibration_error([0.75, 0.75, 0.75, 0.25])  # three of four right, at a confidence of three quarters
    0.0
    >>> [round(rms_calibration_error([p, p]), 2) for p in (0.55, 0.45, 0.5, 1.0, 0.0)]
    [0.45, 0.55, 0.0, 0.0, 1.0]
    """
    error = calibration_error(confidence(probabilities), scores(probabilities), n_bins, low=0.5)
    assert error is not None  # all bins with members are used
    return error


def rms_calibration_error_weighted(probabilities: Probabilities, n_bins: int = 5) -> float:
    """The formula of evaluations written before 2026-11-26, for reading their stored values; not a calibration error.

    calibration_error over [0, 1] of both orders of each pair, (p, 1) and (1 - p, 0). With an odd number of bins, the
    middle one contains both orders of every pair with p near 1/2, so its gap is 0 whatever the answers are.

    >>> rms_calibration_error_weighted([0.55, 0.55]), rms_calibration_error_weighted([0.45, 0.45])
    (0.0, 0.0)
    """
    p = checked(probabilities)
    presented = np.concatenate([p, 1 - p]), np.concatenate([np.ones_like(p), np.zeros_like(p)])
    error = calibration_error(*presented, n_bins)
    assert error is not None
    return error


def calibration_error(
    predictions: Probabilities,
    labels: npt.ArrayLike,
    n_bins: int = 5,
    smallest_bin: int = 1,
    weighted: bool = True,
    low: float = 0.0,
) -> float | None:
    """Root of the mean over bins b of (mean label_b - mean prediction_b)^2, weighted by bin size or unweighted.

    labels: a number from 0 to 1 for each prediction. The bins are `n_bins` equal parts of [low, 1]. Each includes its
    lower edge, and the last also includes 1. Bins with fewer than `smallest_bin` members are excluded. None if no bin
    remains.

    >>> calibration_error([0.9, 0.9, 0.1, 0.3], [1, 0, 0, 0])  # bin gaps 0.4 (2 members), 0.1 (1) and 0.3 (1)
    0.32403703492039304
    >>> calibration_error([0.9, 0.9, 0.1, 0.3], [1, 0, 0, 0], smallest_bin=3) is None
    True
    """
    r = checked(predictions)
    y = np.asarray(labels, dtype=np.float64)
    if y.shape != r.shape:
        raise InputError(f"expected one label for each of {r.size} predictions, got labels of shape {y.shape}")
    bins = bin_of(r, n_bins, low)
    members = [bins == each for each in range(n_bins)]
    members = [bin_ for bin_ in members if np.count_nonzero(bin_) >= max(smallest_bin, 1)]
    if not members:
        return None
    gaps = np.array([np.mean(y[bin_]) - np.mean(r[bin_]) for bin_ in members])
    weights = [np.count_nonzero(bin_) for bin_ in members] if weighted else None
    return float(np.sqrt(np.average(gaps**2, weights=weights)))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pairs with a confidence in one part of [0.5, 1]. The means are None for an empty bin."""

    low: float
    """Lower edge, which is part of the bin. The upper edge is part of the last bin only."""
    high: float
    count: int
    mean_confidence: float | None
    accuracy: float | None
    """Share of pairs that are right; a tie counts half."""


def reliability_bins(probabilities: Probabilities, n_bins: int = CONFIDENCE_BINS) -> list[ReliabilityBin]:
    """The points of a reliability diagram (DeGroot and Fienberg 1983), in the bins of rms_calibration_error.

    rms_calibration_error is the root of the mean over pairs of (accuracy - mean_confidence)^2.

    >>> [(bin_.count, bin_.mean_confidence, bin_.accuracy) for bin_ in reliability_bins([0.75, 0.8, 0.25, 0.6], 2)]
    [(1, 0.6, 1.0), (3, 0.7666666666666666, 0.6666666666666666)]
    """
    sure, right = confidence(probabilities), scores(probabilities)
    edges = np.linspace(0.5, 1, n_bins + 1)
    bins = bin_of(sure, n_bins, 0.5)
    found = []
    for number in range(n_bins):
        inside = bins == number
        count = int(np.count_nonzero(inside))
        means = (float(np.mean(sure[inside])), float(np.mean(right[inside]))) if count else (None, None)
        found.append(ReliabilityBin(float(edges[number]), float(edges[number + 1]), count, *means))
    return found


def log_loss(probabilities: Probabilities) -> float:
    """Mean negative natural logarithm of the probability of the best response; 0 is perfect, log 2 for a constant 1/2.

    Smaller probabilities are replaced by SMALLEST_PROBABILITY, so that a confident wrong model has a finite loss.

    >>> round(log_loss([0.5, 1.0]), 4), round(log_loss([0.0]), 2)
    (0.3466, 36.04)
    """
    return float(np.mean(log_losses(probabilities)))


def log_losses(probabilities: Probabilities) -> Floats:
    """The log loss of each pair, shape (pairs,)."""
    return np.abs(np.log(np.maximum(checked(probabilities), SMALLEST_PROBABILITY)))


def calibration_error_of_calibrated(
    probabilities: Probabilities,
    clusters: Indices | None = None,
    n_bins: int = CONFIDENCE_BINS,
    draws: int = 1_000,
    seed: int = 0,
) -> float:
    """Expected rms_calibration_error of a calibrated scorer with these confidences, which is due to noise alone.

    Each pair of the calibrated scorer is right with the probability of its confidence. `clusters` contains the cluster
    of each pair; pairs of one cluster have the correlation estimated from the sample, by moments of right - mean right
    of the bin (1 if this never varies). Returns the mean of `draws` seeded simulations. With confidences spread evenly
    over [0.5, 1] it is about 0.125 for 100 pairs and 0.23 for 30.

    >>> round(calibration_error_of_calibrated([0.5 + (i + 0.5) / 200 for i in range(100)]), 2)
    0.12
    """
    sure = confidence(probabilities)
    bins = bin_of(sure, n_bins, 0.5)
    labels = np.arange(sure.size) if clusters is None else checked_labels(clusters, sure.size)
    _, places = np.unique(labels, return_inverse=True)
    # Each pair uses its cluster's draw with probability sqrt(correlation), so two pairs do with that of correlation.
    common = np.sqrt(_correlation(scores(probabilities), bins, places))
    member = np.eye(n_bins)[bins]
    sizes = np.maximum(member.sum(axis=0), 1)
    lengths = (sure.size, int(places.max()) + 1, *([sure.size] if common else []))
    errors: list[float] = []
    for drawn in _drawn_evenly(seed, lengths, draws) if draws <= _MOST_DRAWS else _chunks(seed, lengths, draws):
        chance, shared, *chosen = np.split(drawn, np.cumsum(lengths)[:-1], axis=1)
        if common:
            chance = np.where(chosen[0] < common, shared[:, places], chance)
        gaps = (((chance < sure) - sure)[:, None] @ member)[:, 0]  # a product for each draw
        errors += np.sqrt(np.sum(gaps**2 / sizes, axis=1) / sure.size).tolist()
    return float(np.mean(errors))


_MOST_DRAWS = 32
"""Number of simulations at a time, to limit memory."""


def _chunks(seed: int, lengths: tuple[int, ...], draws: int) -> Iterator[Floats]:
    """Numbers drawn evenly from [0, 1), a row of sum(lengths) for each simulation, for some simulations at a time."""
    draw = np.random.default_rng([seed, lengths[0]])
    for first in range(0, draws, _MOST_DRAWS):
        yield draw.random((min(_MOST_DRAWS, draws - first), sum(lengths)))


@lru_cache(maxsize=64)
def _drawn_evenly(seed: int, lengths: tuple[int, ...], draws: int) -> list[Floats]:
    """The chunks, which are the same for all evaluations of one size."""
    return [*_chunks(seed, lengths, draws)]


def _correlation(right: Floats, bins: npt.NDArray[np.intp], places: npt.NDArray[np.intp]) -> float:
    """Correlation in [0, 1] of the answers to two pairs of one cluster; 0 if all clusters have one pair."""
    sizes = np.bincount(places)
    couples = float(np.sum(sizes * (sizes - 1)))
    if couples == 0:
        return 0.0
    counts = np.maximum(np.bincount(bins), 1)
    left = right - (np.bincount(bins, right) / counts)[bins]
    variance = float(np.mean(left**2))
    if variance == 0:
        return 1.0
    products = float(np.sum(np.bincount(places, left) ** 2) - np.sum(left**2))
    return min(1.0, max(0.0, products / couples / variance))


def bin_of(predictions: Floats, n_bins: int, low: float = 0.0) -> npt.NDArray[np.intp]:
    """The index of each prediction's bin among `n_bins` equal parts of [low, 1]; 1 is in the last bin."""
    if n_bins < 1:
        raise InputError(f"expected at least 1 calibration bin, got {n_bins}")
    return np.minimum(np.digitize(predictions, np.linspace(low, 1, n_bins + 1)), n_bins) - 1
