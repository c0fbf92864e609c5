"""95 % intervals for the metrics of one evaluation, with respect to other test prompts.

They do not include the variation between trainings, which requires several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from genies.errors import InputError
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, Indices, Probabilities
from genies.metrics.resampling import (
    FEWEST_CLUSTERS,
    ClusterSums,
    resample_weights,
    resampled_means,
    resampled_means_of_few_kinds,
    sums_by_cluster,
)

_NORMAL = NormalDist()

OVER_PROMPTS = "bootstrap over prompts"


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval for a metric, and the name of its method."""

    low: float
    high: float
    method: str


def wilson_interval(right: float, n: float, level: float = 0.95) -> Interval:
    """Interval for a share, `right` of `n` independent trials (Wilson 1927).

    (s + z^2/2n +- z sqrt(s (1 - s) / n + z^2/4n^2)) / (1 + z^2/n), where s = right/n and z is the normal quantile. It
    has a positive width at 0 and 1: for 50 of 50, its lower end is 0.929. With ties, which count half, it is slightly
    too wide.

    >>> interval = wilson_interval(50, 50)
    >>> round(interval.low, 4), interval.high
    (0.9287, 1.0)
    """
    if not (n > 0 and 0 <= right <= n):
        raise InputError(f"expected 0 <= right <= n and n > 0, got right = {right} and n = {n}")
    z = _normal_quantile(level)
    share, shrink = right / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if right == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if right == n else min(1.0, centre + half), "Wilson")


def accuracy_interval(
    probabilities: Probabilities,
    clusters: Indices,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Interval for accuracy over pairs, with prompts as the sampled units.

    `clusters` contains the cluster of each pair. None for fewer than FEWEST_CLUSTERS. If all clusters have one pair,
    this is Wilson's interval. Otherwise it is the bias-corrected and accelerated bootstrap over clusters (Efron 1987),
    with Student's quantile for clusters - 1 degrees of freedom instead of the normal one, because the coverage of plain
    percentiles is too low with 50 clusters and accuracies near 1. If all clusters have the same score, resamples do not
    differ; the result is then Wilson's interval with one trial per cluster.

    >>> interval = accuracy_interval([0.9, 0.8, 0.3, 0.7, 0.6], [0, 1, 2, 3, 4])
    >>> round(interval.low, 4), round(interval.high, 4), interval.method
    (0.3755, 0.9638, 'Wilson')
    >>> accuracy_interval([1.0] * 10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]).low == wilson_interval(5, 5).low
    True
    >>> accuracy_interval([0.9] * 4, [0, 1, 2, 3]) is None
    True
    """
    return interval_of_scores(sums_by_cluster(scores(probabilities), clusters), resamples, seed, level)


def interval_of_scores(
    part: ClusterSums,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    draw: Callable[[], Floats] | None = None,
) -> Interval | None:
    """accuracy_interval from the scores of pairs summed by prompt.

    draw: returns the means in resamples of the prompts, shape (resamples,), if they are known. It is called only if the
    interval needs them.
    """
    if part.sums.size < FEWEST_CLUSTERS:
        return None
    if part.one_pair_each or part.same_everywhere:
        return wilson_interval(part.mean * part.sums.size, part.sums.size, level)
    return _bca(part, resampled_means_of_few_kinds(part, resamples, seed) if draw is None else draw(), level)


def mean_interval(
    values: Floats, clusters: Indices, resamples: int = 2_000, seed: int = 0, level: float = 0.95
) -> Interval | None:
    """Interval for the mean over pairs of any `values`, shape (pairs,), such as p, (1 - p)^2 or 2p - 1.

    Uses the bootstrap of accuracy_interval. None for fewer than FEWEST_CLUSTERS, or if all clusters have the same mean,
    because their variation is then unknown.
    """
    part = sums_by_cluster(np.asarray(values, dtype=np.float64), clusters)
    if part.sums.size < FEWEST_CLUSTERS:
        return None
    return bootstrap_interval(part, resampled_means(part, resample_weights(part.sums.size, resamples, seed)), level)


def bootstrap_interval(part: ClusterSums, drawn: Floats, level: float = 0.95) -> Interval | None:
    """mean_interval from the means in resamples of the clusters, `drawn` of shape (resamples,)."""
    if part.sums.size < FEWEST_CLUSTERS or part.same_everywhere:
        return None
    return _bca(part, drawn, level)


def percentile_interval(drawn: Floats, n: int, method: str, level: float = 0.95) -> Interval:
    """Expanded percentiles of resampled values for a sample of size `n` (Hesterberg 2015).

    The tail probabilities are Phi(-sqrt(n / (n - 1)) t), where t is the quantile of Student's t with n - 1 degrees of
    freedom: 0.017 for n = 50, 0.013 for n = 15, and almost 0 for n = 3, for which the interval spans all resamples.

    >>> interval = percentile_interval(np.arange(1001) / 1000, 50, "")
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0212, 0.9788)
    """
    ordered = np.sort(drawn)
    low, high = (quantile(ordered, tail) for tail in expanded_tails(n, level))
    return Interval(low, high, method)


def quantile(ordered: Floats, share: float) -> float:
    """The quantile of values in ascending order, interpolated linearly: that of np.quantile, to the last bit.

    np.quantile takes ten times as long for 2,000 values, mostly to prepare for arrays of other shapes.

    >>> quantile(np.array([1.0, 2.0, 4.0]), 0.75)
    3.0
    """
    place = (ordered.size - 1) * share
    below = int(place)
    low, high, part = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)]), place - below
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


def percentile_p_value(drawn: Floats, n: int) -> float:
    """Two-sided p-value for the hypothesis of 0: one minus the level at which percentile_interval ends at 0.

    >>> round(percentile_p_value(np.arange(-20, 981) / 1000, 50), 2)
    0.05
    """
    share = max(min(float(np.mean(drawn <= 0)), float(np.mean(drawn >= 0))), 1 / (drawn.size + 1))
    if share >= 0.5 or n < 2:
        return 1.0
    return t_tails(-_NORMAL.inv_cdf(share) * math.sqrt((n - 1) / n), n - 1)


def agreeing(interval: Interval, p_value: float, level: float = 0.95) -> Interval:
    """An interval that excludes 0 if and only if the p-value for 0 is below 1 - level.

    Both are computed from the same resamples, or from equally many, so they disagree only within the error of
    resampling. In that case the end next to 0 is moved to 0, or to the next number after it.

    >>> agreeing(Interval(-0.001, 0.2, ""), 0.049).low > 0, agreeing(Interval(0.001, 0.2, ""), 0.051).low
    (True, 0.0)
    """
    low, high = interval.low, interval.high
    if p_value >= 1 - level:
        return replace(interval, low=min(low, 0.0), high=max(high, 0.0))
    if not low <= 0 <= high:
        return interval
    if high > -low:
        return replace(interval, low=math.nextafter(0, 1))
    return replace(interval, high=math.nextafter(0, -1))


def expanded_tails(n: int, level: float = 0.95) -> tuple[float, float]:
    """The two tail probabilities of percentile_interval for a sample of `n`."""
    if n < 2:
        return 0.0, 1.0
    tail = _NORMAL.cdf(-math.sqrt(n / (n - 1)) * t_quantile(level, n - 1))
    return tail, 1 - tail


def _bca(part: ClusterSums, drawn: Floats, level: float) -> Interval:
    estimate = part.mean
    influence = part.sums - estimate * part.pairs  # of each cluster on the ratio of sums, up to a constant
    acceleration = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
    # Means of few different values are equal up to the order of summation.
    rounding = 1e-12 * max(1.0, abs(estimate))
    ordered, size = np.sort(drawn), drawn.size
    less = int(np.searchsorted(ordered, estimate - rounding, side="left"))
    not_more = int(np.searchsorted(ordered, estimate + rounding, side="right"))
    below = (less / size + not_more / size) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 1 / (2 * size)), 1 - 1 / (2 * size)))
    t = t_quantile(level, part.sums.size - 1)
    tails = []
    for end in (bias - t, bias + t):
        # Beyond the pole the sign would change; use the outermost resample there.
        bend = 1 - acceleration * end
        tails.append(_NORMAL.cdf(bias + end / bend) if bend > 0 else float(end > 0))
    low, high = (quantile(ordered, tail) for tail in tails)
    return Interval(low, high, OVER_PROMPTS)


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"expected a level between 0 and 1, got {level}")
    return _NORMAL.inv_cdf((1 + level) / 2)


@lru_cache(maxsize=1024)
def t_quantile(level: float, degrees_of_freedom: float) -> float:
    """The two-sided quantile of Student's t: `level` of the distribution is between minus and plus this value."""
    from scipy.special import stdtrit  # takes longer to load than a short command to run

    return float(stdtrit(degrees_of_freedom, (1 + level) / 2))


def t_tails(t: float, degrees_of_freedom: float) -> float:
    """The probability that the absolute value of Student's t exceeds that of `t`."""
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(degrees_of_freedom, -abs(t))))
