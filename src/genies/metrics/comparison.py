"""Exact tests of paired differences, and the correction for several tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_MOST_ENUMERATED = 16


def mcnemar_p_value(first_only: int, second_only: int) -> float:
    """Two-sided exact p-value of McNemar's test (1947).

    min(1, 2 P(X <= min(first_only, second_only))), where X is binomial with n = first_only + second_only and p = 1/2.

    >>> mcnemar_p_value(1, 8)
    0.0390625
    """
    n, fewer = first_only + second_only, min(first_only, second_only)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / (1 << n))


def sign_flip_p_value(differences: npt.ArrayLike, seed: int = 0) -> float:
    """Two-sided p-value of a sum of paired differences if the sign of each is random (Fisher 1935).

    Exact by convolution if all differences are multiples of 1/k for some k from 1 to 24, as scores are. Exact by
    enumeration of all signs for up to 16 nonzero differences. Otherwise estimated from 2^16 seeded draws of signs, with
    one added to numerator and denominator.

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
        if np.all(np.abs(sizes * parts - whole) <= 1e-9) and whole.sum() < 100_000:
            return _by_convolution(whole.astype(np.int64), round(observed * parts))
    n = sizes.size
    near = observed - 1e-9 * max(1.0, observed)  # tolerance for sums of the same numbers in another order
    if n <= _MOST_ENUMERATED:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ sizes) >= near))
    draw = np.random.default_rng([seed, n])
    as_far = 0
    for _ in range(64):  # 1,024 draws at a time, to limit memory
        signs = draw.integers(2, size=(1_024, n)) * 2 - 1
        as_far += int(np.count_nonzero(np.abs(signs @ sizes) >= near))
    return float((as_far + 1) / (2**_MOST_ENUMERATED + 1))


def _by_convolution(sizes: npt.NDArray[np.int64], observed: int) -> float:
    """The p-value for whole numbers, from the distribution of their signed sum, one distinct size after another."""
    distribution = np.ones(1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        flips = np.zeros(2 * int(count) * int(size) + 1)
        flips[:: 2 * int(size)] = _binomial(int(count))
        distribution = np.convolve(distribution, flips)
    sums = np.arange(distribution.size) - distribution.size // 2
    return min(1.0, float(np.sum(distribution[np.abs(sums) >= observed])))


@lru_cache(maxsize=1_024)
def _binomial(count: int) -> list[float]:
    """The probability of each number of heads in `count` fair tosses."""
    return [math.comb(count, heads) / (1 << count) for heads in range(count + 1)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple tests, which bounds the probability of any false finding (Holm 1979).

    With p_(1) <= ... <= p_(m), the adjusted p_(i) is the maximum of (m - j + 1) p_(j) over j <= i, at most 1. Returned
    in the order given.

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
