"""An interval for the calibration error. Noise always increases this error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genies.metrics.calibration import CONFIDENCE_BINS, bin_of, confidence
from genies.metrics.intervals import Interval, expanded_tails
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, Indices, Probabilities, checked_labels
from genies.metrics.resampling import FEWEST_CLUSTERS

_PRIOR_CLUSTERS = 2
"""Number of clusters with the assumed variance that are added to each bin, because one or two clusters show none."""


def calibration_interval(
    probabilities: Probabilities, clusters: Indices, n_bins: int = CONFIDENCE_BINS, level: float = 0.95
) -> Interval | None:
    """Interval for rms_calibration_error e; `clusters` contains the cluster of each pair. None for too few clusters.

    e^2 is a weighted sum of squared gaps, each with an error variance v_b. Its distribution is approximated by k times
    a noncentral chi-squared variable. The mean is theta^2 + N, where theta is the true error and N = sum_b w_b v_b is
    the noise. The variance is that of e^2: 2 sum_b w_b^2 v_b^2 for a calibrated scorer, plus what the clusters'
    influences on e^2 add. The interval contains all theta for which e^2 is between the tails of the distribution, so
    it starts at 0 for a calibrated scorer. It is widened to contain e and sqrt(N). v_b is a cluster-robust estimate;
    two clusters with the mean variance of the bins (or with confidence (1 - confidence), if larger) are added to each.

    A bootstrap is not suitable: a bin with one pair has the same gap in every resample, and 13 % of the intervals of a
    calibrated scorer with 60 pairs and confidences near 1 excluded 0. benchmarks/coverage.py measures the coverage.
    """
    from scipy.special import chndtr, chndtrinc  # takes long to load

    pairs, gaps, assumed = _by_cluster_and_bin(probabilities, clusters, n_bins)
    count = pairs.shape[0]
    if count < FEWEST_CLUSTERS:
        return None
    sizes = pairs.sum(axis=0)
    gap, weight = gaps.sum(axis=0) / sizes, sizes / sizes.sum()
    squared = float(weight @ gap**2)
    around = np.sum((gaps - gap * pairs) ** 2, axis=0)
    around += weight * max(0.0, 1 - float(around.sum()))  # as for two right and two wrong answers
    assumed = np.maximum(assumed, around.sum() / max(float(sizes.sum()) - sizes.size, 1.0))
    per_cluster = np.sum(pairs**2, axis=0) / sizes  # pairs in the cluster of a pair
    effective = sizes / per_cluster
    degrees = np.maximum(effective - 1, 0) + _PRIOR_CLUSTERS
    variance = (around + _PRIOR_CLUSTERS * assumed * per_cluster) / degrees * effective / sizes**2
    noise, spread = float(weight @ variance), float(np.sum((weight * variance) ** 2))
    influence = (2 * gap * gaps - gap**2 * pairs).sum(axis=1) - squared * pairs.sum(axis=1)
    linear = float(np.sum(influence**2)) * count / (count - 1) / float(sizes.sum()) ** 2
    linear = max(linear, 4 * float(np.sum((weight * gap) ** 2 * variance)))  # if clusters happen to be equal
    beyond = max(linear - 4 * spread, 0.0)  # the noise of the estimated gaps adds 4 spread
    scale = (spread + beyond / 4) / (noise + max(squared - noise, 0.0))
    low_tail, high_tail = expanded_tails(count, level)

    def noncentrality(tail: float) -> float:
        """The noncentrality for which a value of at most e^2 has probability `tail`; 0 if there is none."""
        value, freedom = squared / scale, noise / scale
        return float(chndtrinc(value, freedom, tail)) if chndtr(value, freedom, 0) > tail else 0.0

    low, high = (min(1.0, (scale * noncentrality(tail)) ** 0.5) for tail in (high_tail, low_tail))
    # An error smaller than the noise is chance, or the sample is too small to vary: the upper end is then the noise.
    return Interval(
        min(low, squared**0.5), min(1.0, max(high, squared**0.5, noise**0.5)), "noncentral chi-squared, by prompt"
    )


def _by_cluster_and_bin(probabilities: Probabilities, clusters: Indices, n_bins: int) -> tuple[Floats, Floats, Floats]:
    """Numbers of pairs and sums of right - confidence, shape (clusters, filled bins), and each bin's mean c (1 - c)."""
    sure, right = confidence(probabilities), scores(probabilities)
    bins = bin_of(sure, n_bins, 0.5)
    pairs, gaps = _tables(checked_labels(clusters, sure.size), bins, right - sure, n_bins)
    filled = pairs.sum(axis=0) > 0
    assumed = np.bincount(bins, sure * (1 - sure), minlength=n_bins)[filled] / pairs.sum(axis=0)[filled]
    return pairs[:, filled], gaps[:, filled], assumed


def _tables(
    clusters: npt.NDArray[np.int64], bins: npt.NDArray[np.intp], gaps: Floats, n_bins: int
) -> tuple[Floats, Floats]:
    """Number of pairs and sum of gaps of each cluster in each bin, shape (clusters, n_bins)."""
    _, places = np.unique(clusters, return_inverse=True)
    shape = int(places.max()) + 1, n_bins
    cells = places * n_bins + bins
    counts, sums = (np.bincount(cells, each, shape[0] * n_bins).reshape(shape) for each in (None, gaps))
    return counts.astype(np.float64), sums.astype(np.float64, copy=False)


def sums_by_bin(probabilities: Probabilities, clusters: Indices, n_bins: int = CONFIDENCE_BINS) -> Floats:
    """The number of pairs n_b of each cluster in each filled bin b, followed by their sums gap_b of right - confidence;
    shape (clusters, 2 * filled bins). Weights times this matrix gives those of all resamples at once."""
    sure, right = confidence(probabilities), scores(probabilities)
    labels = checked_labels(clusters, sure.size)
    sizes, gaps = _tables(labels, bin_of(sure, n_bins, 0.5), right - sure, n_bins)
    filled = np.any(sizes, axis=0)
    return np.concatenate([sizes[:, filled], gaps[:, filled]], axis=1)


def errors_of_sums(sums: Floats) -> Floats:
    """rms_calibration_error sqrt(sum_b gap_b^2 / n_b / n) for each row of sums over clusters of sums_by_bin."""
    n, gap = np.split(sums, 2, axis=1)
    squares = np.sum(gap**2 / np.maximum(n, 1), axis=1)
    errors: Floats = np.sqrt(squares / np.sum(n, axis=1))
    return errors
