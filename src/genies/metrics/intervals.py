"""95 % intervals for the figures of one evaluation: how far test examples drawn anew could move them.

They say nothing about training anew: for that, several seeds are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from genies.errors import InputError
from genies.metrics.calibration import bin_of
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, Indices, Probabilities, checked, checked_indices
from genies.metrics.resampling import (
    ExampleSums,
    resample_weights,
    resampled_means,
    resampled_means_of_few_kinds,
    sums_by_example,
)

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure may lie, and how that was found out."""

    low: float
    high: float
    method: str


def wilson_interval(right: float, n: float, level: float = 0.95) -> Interval:
    """Interval for a share, `right` of `n` independent trials (Wilson 1927).

    (s + z^2/2n +- z sqrt(s (1 - s) / n + z^2/4n^2)) / (1 + z^2/n) with s = right/n and z the normal quantile. It has
    a width at 0 and 1 too: of 50 out of 50 it says at least 0.929. Half points for ties make it a little too wide.

    >>> interval = wilson_interval(50, 50)
    >>> round(interval.low, 4), interval.high
    (0.9287, 1.0)
    """
    if not (n > 0 and 0 <= right <= n):
        raise InputError(f"expected from 0 to n right of n > 0 trials, got {right} of {n}")
    z = _normal_quantile(level)
    share, shrink = right / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if right == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if right == n else min(1.0, centre + half), "Wilson")


def accuracy_interval(
    probabilities: Probabilities,
    example_indices: Indices,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval for accuracy over pairs, when examples are a sample and pairs of one example belong together.

    With one pair an example, Wilson's. Else the bias-corrected and accelerated bootstrap over examples (Efron 1987),
    with Student's quantile for examples - 1 degrees of freedom in place of the normal one: plain percentiles hold the
    truth too rarely with 50 examples and accuracies near 1. Where all examples score alike no resample differs, and
    Wilson's interval for as many trials as there are examples stands in, as if the pairs of one told nothing new.

    >>> interval = accuracy_interval([0.9, 0.8, 0.3, 0.7], [0, 1, 2, 3])
    >>> round(interval.low, 4), round(interval.high, 4), interval.method
    (0.3006, 0.9544, 'Wilson')
    >>> accuracy_interval([1.0] * 6, [0, 0, 1, 1, 2, 2]).low == wilson_interval(3, 3).low
    True
    """
    part = sums_by_example(scores(probabilities), example_indices)
    if part.one_pair_each or part.sums.size == 1 or np.ptp(part.sums / part.pairs) == 0:
        return wilson_interval(part.mean * part.sums.size, part.sums.size, level)
    return _bca(part, resampled_means_of_few_kinds(part, resamples, seed), level)


def mean_interval(
    values: Floats, example_indices: Indices, resamples: int = 2_000, seed: int = 0, level: float = 0.95
) -> Interval | None:
    """Interval for the mean over pairs of any `values`, shape (pairs,), such as p, (1 - p)^2 or 2p - 1.

    The bootstrap of accuracy_interval; None for a single example, or when all examples have the same mean: nothing is
    then known of how they vary.
    """
    part = sums_by_example(np.asarray(values, dtype=np.float64), example_indices)
    if part.sums.size == 1 or np.ptp(part.sums / part.pairs) == 0:
        return None
    return _bca(part, resampled_means(part, resample_weights(part.sums.size, resamples, seed)), level)


def calibration_interval(
    probabilities: Probabilities,
    example_indices: Indices,
    n_bins: int = 5,
    resamples: int = 2_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Interval for rms_calibration_error: percentiles of the squared error over resampled examples, less the noise.

    A calibration error is never negative, so that noise only adds to it: resamples, noisier still than the sample,
    have a squared error above the sample's by about as much as the sample's is above the truth (Kumar et al. 2019,
    section 4). Twice that difference, mean(drawn^2) - e^2, is taken from the expanded percentiles of drawn^2; then
    the root. Cut to [0, 1], and widened to hold the estimate e where e is nothing but noise. None for one example.
    """
    estimate, drawn = resampled_calibration_errors(probabilities, example_indices, n_bins, resamples, seed)
    examples = np.unique(np.asarray(example_indices)).size
    return None if drawn is None else interval_from_calibration_errors(estimate, drawn, examples, level)


def interval_from_calibration_errors(estimate: float, drawn: Floats, examples: int, level: float = 0.95) -> Interval:
    """calibration_interval from what resampled_calibration_errors gives for so many examples."""
    noise = float(np.mean(drawn**2)) - estimate**2
    low, high = np.sqrt(np.clip(np.quantile(drawn**2, _expanded_tails(examples, level)) - 2 * noise, 0, 1))
    return Interval(min(float(low), estimate), max(float(high), estimate), "bootstrap over examples")


def resampled_calibration_errors(
    probabilities: Probabilities, example_indices: Indices, n_bins: int, resamples: int, seed: int
) -> tuple[float, Floats | None]:
    """rms_calibration_error, and the same in each resample, shape (resamples,); None in place of these for one example.

    Bin by bin sqrt(sum_b gap_b^2 / n_b / n), where gap_b adds up label - prediction over the n_b presentations of the
    bin, and both are sums over examples, so that a matrix of weights gives all resamples at once.
    """
    p = checked(probabilities)
    _, places = np.unique(checked_indices(example_indices, p.size), return_inverse=True)
    examples = int(places.max()) + 1
    sizes, gaps = np.zeros((examples, n_bins)), np.zeros((examples, n_bins))
    for prediction, label in ((p, 1.0), (1 - p, 0.0)):
        bins = bin_of(prediction, n_bins)
        np.add.at(sizes, (places, bins), 1)
        np.add.at(gaps, (places, bins), label - prediction)

    def errors(weights: Floats) -> Floats:
        n = weights @ sizes
        squares = np.sum((weights @ gaps) ** 2 / np.maximum(n, 1), axis=1)
        result: Floats = np.sqrt(squares / np.sum(n, axis=1))
        return result

    estimate = float(errors(np.ones((1, examples)))[0])
    return estimate, None if examples == 1 else errors(resample_weights(examples, resamples, seed))


def percentile_interval(drawn: Floats, n: int, method: str, level: float = 0.95) -> Interval:
    """Percentiles of resampled figures, taken further out for a sample of `n` (Hesterberg 2015, expanded percentiles).

    The tails are Phi(-sqrt(n / (n - 1)) t) with t the quantile of Student's t with n - 1 degrees of freedom: 0.017 for
    n = 50, 0.013 for 15, none left for 3, whose interval spans all resamples.

    >>> interval = percentile_interval(np.arange(1001) / 1000, 50, "")
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0212, 0.9788)
    """
    low, high = np.quantile(drawn, _expanded_tails(n, level))
    return Interval(float(low), float(high), method)


def _expanded_tails(n: int, level: float) -> tuple[float, float]:
    if n < 2:
        return 0.0, 1.0
    tail = _NORMAL.cdf(-math.sqrt(n / (n - 1)) * _t_quantile(level, n - 1))
    return tail, 1 - tail


def _bca(part: ExampleSums, drawn: Floats, level: float) -> Interval:
    estimate = part.mean
    influence = part.sums - estimate * part.pairs  # of each example on a ratio of sums, up to a constant
    acceleration = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
    below = float(np.mean(drawn < estimate) + np.mean(drawn == estimate) / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / (2 * drawn.size)), 1 - 1 / (2 * drawn.size)))
    t = _t_quantile(level, part.sums.size - 1)
    tails = []
    for end in (bias - t, bias + t):
        # Beyond the pole the shares would turn round; there the outermost resample is meant.
        bend = 1 - acceleration * end
        tails.append(_NORMAL.cdf(bias + end / bend) if bend > 0 else float(end > 0))
    low, high = np.quantile(drawn, tails)
    return Interval(float(low), float(high), "bootstrap over examples")


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"expected a level between 0 and 1, got {level}")
    return _NORMAL.inv_cdf((1 + level) / 2)


def _t_quantile(level: float, degrees_of_freedom: int) -> float:
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # takes longer to load than a short command to run

    return float(stdtrit(degrees_of_freedom, (1 + level) / 2))
