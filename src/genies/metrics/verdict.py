"""Whether one intervention differs from another: one decision, that every page, table and sentence reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

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
    """The first of two interventions minus the second, in one metric."""

    value: float
    interval: Interval | None
    """95 %. It leaves out 0 exactly where p_value, not adjusted for being one of several, is below 0.05. None without a
    test, and where the difference is the same on all prompts."""
    p_value: float | None
    """Two-sided, of the hypothesis that there is no difference; None where that cannot be tested."""
    test: str
    """The name of the test; empty without one."""
    about: About | Literal["this shift"]
    """What the interval and the test allow for besides other prompts and seeds."""
    n_sources: int
    n_shifts: int
    n_clusters: int
    """Prompts that both were tested on; of several shifts, on the one that has the fewest."""
    adjusted_p_value: float | None = None
    """p_value adjusted by Holm's method for the family given to `adjust`."""
    first_only: int = 0
    """Prompts on which the first got more of the pairs right; on one shift only."""
    second_only: int = 0
    left_out: int = 0
    """Prompts that only one of the two was tested on."""
    reason: str = ""
    """Why there is no test, or none about other sources."""

    @property
    def verdict(self) -> Literal["higher", "lower", "not significant", "unknown"]:
        """By the adjusted p-value where there is one. No significant difference is no evidence of none."""
        p_value = self.p_value if self.adjusted_p_value is None else self.adjusted_p_value
        if p_value is None:
            return "unknown"
        if p_value >= SIGNIFICANCE_LEVEL:
            return "not significant"
        return "higher" if self.value > 0 else "lower"


def difference_on_shift(first: ClusterSums, second: ClusterSums) -> Difference:
    """Two interventions on one test set, paired by prompt, from the scores of pairs added up by prompt.

    Prompts that only one was tested on, or with another number of pairs, are left out. The p-value is that of
    McNemar's exact test where every prompt has one pair and there are no ties, else that of the sign-flip test, which
    is the same for such data. The interval holds every difference that the sign-flip test does not reject: its ends
    are quantiles of the mean differences of random halves of the prompts and of what is left (Hartigan 1969), so that
    test and interval are one.
    """
    one, other, left_out = _on_common(first, second)
    count = one.sums.size
    reason = too_few_clusters(count) if count else "no prompt was given to both"
    value = one.mean - other.mean if count else 0.0
    differences = one.sums - other.sums
    only = int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0))
    found = Difference(value, None, None, "", "this shift", 1, 1, count, None, *only, left_out, reason)
    if reason:
        return found
    whole = one.one_pair_each and bool(np.all(np.abs(differences) != 0.5))
    p_value = mcnemar_p_value(*only) if whole else sign_flip_p_value(differences)
    interval = agreeing(_typical_values(differences, one.pairs, 1 - SIGNIFICANCE_LEVEL), p_value)
    return replace(
        found, interval=interval, p_value=p_value, test="McNemar, exact" if whole else "sign-flip over prompts"
    )


def difference_over_shifts(figures: Sequence[ShiftFigure], average: Average = "shifts") -> Difference:
    """The mean of differences on shifts, each figure the first minus the second: estimate_mean's interval and p-value.

    Both come from one t statistic, or from one set of resamples, so that they cannot disagree.
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
    """The differences with p-values adjusted by Holm's method: those given are one family, in the order given.

    None, and what could not be tested, takes no part and takes nothing from the others.
    """
    tested = [place for place, each in enumerate(differences) if each is not None and each.p_value is not None]
    p_values = [each.p_value for each in differences if each is not None and each.p_value is not None]
    adjusted = dict(zip(tested, holm(p_values), strict=True))
    return [
        None if each is None else replace(each, adjusted_p_value=adjusted.get(place))
        for place, each in enumerate(differences)
    ]


def _on_common(first: ClusterSums, second: ClusterSums) -> tuple[ClusterSums, ClusterSums, int]:
    """Both over the prompts on which they have as many pairs, and how many other prompts there are."""
    common, ours, theirs = np.intersect1d(first.clusters, second.clusters, return_indices=True)
    same = first.pairs[ours] == second.pairs[theirs]
    total = np.union1d(first.clusters, second.clusters).size
    one, other = (
        ClusterSums(common[same], each.sums[places][same], each.pairs[places][same])
        for each, places in ((first, ours), (second, theirs))
    )
    return one, other, total - int(np.count_nonzero(same))


def _typical_values(differences: Floats, pairs: Floats, level: float) -> Interval:
    """The differences a pair that the sign-flip test does not reject at 1 - level, cut to [-1, 1].

    Taking d off every pair, the signed sum over prompts is as large as the observed one where d lies between the mean
    of the prompts whose sign is flipped and the mean of the others.
    """
    flipped = _subsets(differences.size)
    sums, sizes = flipped @ differences, flipped @ pairs
    rest, rest_sizes = differences.sum() - sums, pairs.sum() - sizes
    # All flipped, or none: as large whatever d is.
    some, others = (
        np.divide(part, size, out=np.full(part.size, np.nan), where=size > 0)
        for part, size in ((sums, sizes), (rest, rest_sizes))
    )
    low = np.sort(np.where(np.isnan(some + others), -np.inf, np.minimum(some, others)))
    high = np.sort(np.where(np.isnan(some + others), np.inf, np.maximum(some, others)))[::-1]
    # The first place at which the share of signs as extreme is no longer below 1 - level; drawn signs and the
    # observed ones make up one more than were drawn, and the observed ones are always as extreme.
    enumerated = differences.size <= _MOST_ENUMERATED
    count = low.size if enumerated else low.size + 1
    place = max(0, int(np.ceil((1 - level) * count - 1e-9)) - (1 if enumerated else 2))
    return Interval(max(-1.0, float(low[place])), min(1.0, float(high[place])), "sign-flip over prompts, inverted")


@lru_cache(maxsize=32)
def _subsets(count: int) -> Floats:
    """All subsets of so few, or _SUBSETS seeded ones, as rows of 0 and 1."""
    if count <= _MOST_ENUMERATED:
        found = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        found = np.random.default_rng(count).integers(2, size=(_SUBSETS, count))
    subsets: Floats = found.astype(np.float64)
    subsets.flags.writeable = False
    return subsets
