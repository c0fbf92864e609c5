"""Whether one intervention differs from another. All pages and tables use this decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from genies.metrics.comparison import holm, mcnemar_p_value, sign_flip_p_value
from genies.metrics.intervals import Interval, agreeing
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ClusterSums, too_few_clusters
from genies.metrics.shift_means import About, Average, ShiftFigure, estimate_mean

SIGNIFICANCE_LEVEL = 0.05

OF_THESE_SHIFTS = "bootstrap over prompts of these shifts"
"""The test of a mean difference that is the same in every resample."""

_MOST_ENUMERATED = 11
_SUBSETS = 1_999


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two interventions in one metric: the first minus the second."""

    value: float
    interval: Interval | None
    """95 % interval. It excludes 0 if and only if p_value, without adjustment, is below 0.05. None without a test, and
    if the difference is the same on all prompts."""
    p_value: float | None
    """Two-sided, for the hypothesis that there is no difference; None if it cannot be tested."""
    test: str
    """The name of the test; empty without one."""
    about: About | Literal["this shift"]
    """The population that the interval and the test are about."""
    n_sources: int
    n_shifts: int
    n_clusters: int
    """Number of prompts on which both were tested; for several shifts, the smallest number."""
    adjusted_p_value: float | None = None
    """p_value adjusted by Holm's method for the family passed to `adjust`."""
    first_only: int = 0
    """Number of prompts on which the first is right in more pairs; only for one shift."""
    second_only: int = 0
    left_out: int = 0
    """Number of prompts on which only one of the two was tested."""
    reason: str = ""
    """Why there is no test, or none about other sources."""

    @property
    def verdict(self) -> Literal["higher", "lower", "not significant", "unknown"]:
        """The result by the adjusted p-value, or p_value without one. "not significant" does not mean equal."""
        p_value = self.p_value if self.adjusted_p_value is None else self.adjusted_p_value
        if p_value is None:
            return "unknown"
        if p_value >= SIGNIFICANCE_LEVEL:
            return "not significant"
        return "higher" if self.value > 0 else "lower"


def difference_on_shift(first: ClusterSums, second: ClusterSums) -> Difference:
    """The difference of two interventions on one test set, from the scores of pairs summed by prompt.

    Prompts on which only one was tested, or with different numbers of pairs, are excluded. The p-value is that of
    McNemar's exact test if all prompts have one pair and there are no ties, otherwise that of the sign-flip test, which
    is the same for such data. The interval contains all differences that the sign-flip test does not reject. Its ends
    are quantiles of the mean differences of random halves of the prompts and of the remaining prompts (Hartigan 1969),
    so test and interval agree.
    """
    one, other, left_out = _on_common(first, second)
    count = one.sums.size
    reason = too_few_clusters(count) if count else "they have no test prompt in common"
    value = one.mean - other.mean if count else 0.0
    differences = one.sums - other.sums
    only = int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0))
    found = Difference(value, None, None, "", "this shift", 1, 1, count, None, *only, left_out, reason)
    if reason:
        return found
    whole = one.one_pair_each and bool(np.all(np.abs(differences) != 0.5))
    p_value = mcnemar_p_value(*only) if whole else sign_flip_p_value(differences)
    interval = agreeing(_typical_values(one, other, 1 - SIGNIFICANCE_LEVEL), p_value)
    return replace(
        found, interval=interval, p_value=p_value, test="McNemar, exact" if whole else "sign-flip over prompts"
    )


def difference_over_shifts(figures: Sequence[ShiftFigure], average: Average = "shifts") -> Difference:
    """The mean of differences on shifts, with the interval and p-value of estimate_mean.

    figures: the first minus the second on each shift. Interval and p-value are computed from the same t statistic or
    the same resamples, so they agree.
    """
    mean = estimate_mean(figures, average)
    return Difference(
        mean.value,
        mean.interval,
        mean.p_value,
        mean.interval.method if mean.interval else "" if mean.p_value is None else OF_THESE_SHIFTS,
        mean.about,
        mean.n_sources,
        mean.n_shifts,
        mean.n_clusters,
        reason=mean.reason,
    )


def adjust(differences: Sequence[Difference | None]) -> list[Difference | None]:
    """The differences with p-values adjusted by Holm's method, as one family, in the same order.

    None and differences without a test are not part of the family.
    """
    tested = [place for place, each in enumerate(differences) if each is not None and each.p_value is not None]
    p_values = [each.p_value for each in differences if each is not None and each.p_value is not None]
    adjusted = dict(zip(tested, holm(p_values), strict=True))
    return [
        None if each is None else replace(each, adjusted_p_value=adjusted.get(place))
        for place, each in enumerate(differences)
    ]


def _on_common(first: ClusterSums, second: ClusterSums) -> tuple[ClusterSums, ClusterSums, int]:
    """Both over the prompts with equal numbers of pairs, and the number of other prompts."""
    if np.array_equal(first.clusters, second.clusters) and np.array_equal(first.pairs, second.pairs):
        return first, second, 0
    common, ours, theirs = np.intersect1d(first.clusters, second.clusters, assume_unique=True, return_indices=True)
    same = first.pairs[ours] == second.pairs[theirs]
    total = first.clusters.size + second.clusters.size - common.size
    one, other = (
        ClusterSums(common[same], each.sums[places][same], each.pairs[places][same])
        for each, places in ((first, ours), (second, theirs))
    )
    return one, other, total - int(np.count_nonzero(same))


def _typical_values(one: ClusterSums, other: ClusterSums, level: float) -> Interval:
    """The differences per pair that the sign-flip test does not reject at 1 - level, clipped to [-1, 1].

    If d is subtracted from every pair, the signed sum over prompts is at least as large as the observed one if d is
    between the mean of the prompts whose sign is flipped and the mean of the others.
    """
    differences, pairs = one.sums - other.sums, one.pairs
    flipped, numbers = _subsets(differences.size)
    both = _in_subsets(one), _in_subsets(other)
    sums = flipped @ differences if both[0] is None or both[1] is None else (both[0] - both[1]).astype(np.float64)
    sizes = numbers * pairs[0] if np.all(pairs == pairs[0]) else flipped @ pairs
    rest, rest_sizes = differences.sum() - sums, pairs.sum() - sizes
    # If all or none are flipped, the sum is as large for any d.
    some, others = (
        np.divide(part, size, out=np.full(part.size, np.nan), where=size > 0)
        for part, size in ((sums, sizes), (rest, rest_sizes))
    )
    undivided = np.isnan(some + others)
    low = np.where(undivided, -np.inf, np.minimum(some, others))
    high = np.where(undivided, np.inf, np.maximum(some, others))
    # The first place at which the share of equally extreme signs is not below 1 - level. With drawn signs, the
    # observed signs are counted as one more draw, which is always as extreme.
    enumerated = differences.size <= _MOST_ENUMERATED
    count = low.size if enumerated else low.size + 1
    place = max(0, int(np.ceil((1 - level) * count - 1e-9)) - (1 if enumerated else 2))
    lowest, highest = np.partition(low, place)[place], -np.partition(-high, place)[place]
    return Interval(max(-1.0, float(lowest)), min(1.0, float(highest)), "sign-flip over prompts, inverted")


@lru_cache(maxsize=2_048)
def _in_subsets(part: ClusterSums) -> npt.NDArray[np.float32] | None:
    """The sum over each subset of the prompts, where it has no rounding error, so that the difference of two is the sum
    of differences: for multiples of one half, as scores of one seed are. None for other sums.

    Cached, because an intervention is compared with many.
    """
    doubled = 2 * part.sums
    if not np.all(doubled == np.round(doubled)) or np.abs(doubled).sum() >= 2**24:
        return None
    return _subsets(part.sums.size)[0] @ part.sums.astype(np.float32)


@lru_cache(maxsize=32)
def _subsets(count: int) -> tuple[npt.NDArray[np.float32], Floats]:
    """All subsets of a small set, or _SUBSETS random ones with a seed, as rows of 0 and 1, and their sizes."""
    if count <= _MOST_ENUMERATED:
        found = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        found = np.random.default_rng(count).integers(2, size=(_SUBSETS, count))
    subsets = found.astype(np.float32)
    subsets.flags.writeable = False
    return subsets, found.sum(axis=1).astype(np.float64)
