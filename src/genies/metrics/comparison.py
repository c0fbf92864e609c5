"""Whether one intervention is better than another: paired, on the same test examples or the same shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genies.errors import InputError
from genies.metrics.intervals import Interval, percentile_interval
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ExampleSums, on_same_examples, resample_weights, resampled_means

_MOST_ENUMERATED = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first of two interventions minus the second, on one shift."""

    difference: float
    """Of their accuracies over pairs, on the examples both were tested on."""
    interval: Interval | None
    """None for fewer than two examples."""
    p_value: float
    """Two-sided, of the hypothesis that either could have given either's answers to an example."""
    test: str
    first_only: int
    """Examples in which the first got more of the pairs right."""
    second_only: int
    examples: int


def compare(first: ExampleSums, second: ExampleSums, resamples: int = 2_000, seed: int = 0) -> Comparison | None:
    """Two interventions on one target, paired by example; None where they have no example in common.

    Each argument holds the scores of pairs added up by example. The interval holds expanded percentiles of the
    difference over resampled examples, drawn together for both. The p-value is McNemar's exact one where every example
    has one pair and there are no ties, else that of the sign-flip test, which is the same for such data.
    """
    shared = np.intersect1d(first.examples, second.examples)
    if shared.size == 0:
        return None
    first, second = (_only(each, shared) for each in (first, second))
    if not np.array_equal(first.pairs, second.pairs):
        raise InputError("expected two evaluations of the same pairs; their examples have different numbers of pairs")
    differences = first.sums - second.sums
    interval = None
    if shared.size > 1:
        weights = resample_weights(shared.size, resamples, seed)
        drawn = resampled_means(first, weights) - resampled_means(second, weights)
        interval = percentile_interval(drawn, shared.size, "bootstrap over examples")
    only = int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0))
    whole = first.one_pair_each and bool(np.all(np.abs(differences) != 0.5))
    p_value = mcnemar_p_value(*only) if whole else sign_flip_p_value(differences)
    test = "McNemar, exact" if whole else "sign-flip, exact"
    return Comparison(first.mean - second.mean, interval, p_value, test, *only, int(shared.size))


def _only(part: ExampleSums, examples: npt.NDArray[np.int64]) -> ExampleSums:
    kept = np.isin(part.examples, examples)
    return ExampleSums(part.examples[kept], part.sums[kept], part.pairs[kept])


def resampled_difference(first: ExampleSums, second: ExampleSums, resamples: int, seed: int = 0) -> Floats:
    """Difference of the two means over pairs in each resample of their examples, shape (resamples,)."""
    first, second = on_same_examples([first, second])
    weights = resample_weights(first.sums.size, resamples, seed)
    return resampled_means(first, weights) - resampled_means(second, weights)


def mcnemar_p_value(first_only: int, second_only: int) -> float:
    """Two-sided exact p-value of McNemar's test (1947): were the disagreements a fair coin's?

    min(1, 2 P(X <= min(first_only, second_only))), X binomial with n = first_only + second_only and one half.

    >>> mcnemar_p_value(1, 8)
    0.0390625
    """
    n, fewer = first_only + second_only, min(first_only, second_only)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / (1 << n))


def sign_flip_p_value(differences: npt.ArrayLike, seed: int = 0) -> float:
    """Two-sided p-value of the sum of paired differences when each could as well have had the other sign (Fisher 1935).

    Exact, by convolution, for whole numbers of some part from 1/1 to 1/24, as points are; exact for up to 16
    differences that are not zero, by going through all signs; else the share, with one added above and below, of 2^16
    seeded draws of signs.

    >>> sign_flip_p_value([1, 1, 1, 1, 1, 1, 1, 1, -1])  # McNemar's test
    0.0390625
    >>> sign_flip_p_value([0.2, 0.1, 0.3])
    0.25
    """
    given = np.asarray(differences, dtype=np.float64).ravel()
    sizes, observed = np.abs(given[given != 0]), float(abs(given.sum()))
    if sizes.size == 0:
        return 1.0
    for parts in range(1, 25):
        whole = np.round(sizes * parts)
        if np.allclose(sizes * parts, whole, rtol=0, atol=1e-9) and whole.sum() < 100_000:
            return _by_convolution(whole.astype(np.int64), round(observed * parts))
    n = sizes.size
    near = observed - 1e-9 * max(1.0, observed)  # sums of the same numbers in another order
    if n <= _MOST_ENUMERATED:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ sizes) >= near))
    draw = np.random.default_rng([seed, n])
    as_far = 0
    for _ in range(64):  # 1,024 draws at a time, for the sake of memory
        signs = draw.integers(2, size=(1_024, n)) * 2 - 1
        as_far += int(np.count_nonzero(np.abs(signs @ sizes) >= near))
    return float((as_far + 1) / (2**_MOST_ENUMERATED + 1))


def _by_convolution(sizes: npt.NDArray[np.int64], observed: int) -> float:
    """Of whole numbers: the distribution of their signed sum, one kind of size after another."""
    distribution = np.ones(1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        flips = np.zeros(2 * int(count) * int(size) + 1)
        flips[:: 2 * int(size)] = [math.comb(int(count), k) / (1 << int(count)) for k in range(int(count) + 1)]
        distribution = np.convolve(distribution, flips)
    sums = np.arange(distribution.size) - distribution.size // 2
    return min(1.0, float(np.sum(distribution[np.abs(sums) >= observed])))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, so that the chance of any false finding stays bounded (Holm 1979).

    With p_(1) <= ... <= p_(m): the largest of (m - j + 1) p_(j) over j <= i, at most 1; in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def tied(p_values: Sequence[float], level: float = 0.95) -> list[bool]:
    """Whether each of several, compared with the best of them, cannot be told from it: Holm's p-value >= 1 - level."""
    return [bool(each >= 1 - level) for each in holm(p_values)]


def p_values_against_best(values: npt.ArrayLike, best: int, weights: npt.ArrayLike | None = None) -> list[float]:
    """p-values of the sign-flip test over shifts, for each intervention but the best one against it.

    values: a figure for each intervention and shift, shape (interventions, shifts); weights: of the shifts. With S
    shifts none is below 2^(1 - S). That the best was chosen by the same figures is not corrected for, which
    errs on the side of too few ties.

    >>> p_values_against_best([[0.9, 0.8, 0.9, 0.7, 0.8, 0.9, 0.8], [0.5, 0.4, 0.6, 0.5, 0.5, 0.4, 0.7]], 0)
    [0.015625]
    """
    table = np.asarray(values, dtype=np.float64)
    share = np.ones(table.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    return [sign_flip_p_value((table[best] - row) * share) for number, row in enumerate(table) if number != best]


def bootstrap_p_value(drawn: Floats) -> float:
    """Two-sided p-value of a difference from its resamples: twice the smaller share on either side of zero.

    2 min(#(drawn <= 0) + 1, #(drawn >= 0) + 1) / (resamples + 1), at most 1 (Davison and Hinkley 1997, section 4.4).
    """
    below, above = np.count_nonzero(drawn <= 0) + 1, np.count_nonzero(drawn >= 0) + 1
    return float(min(1.0, 2 * min(below, above) / (drawn.size + 1)))
