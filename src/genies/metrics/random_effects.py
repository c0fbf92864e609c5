"""The variance of a weighted mean of values that share sources and targets, from a random-effects model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.metrics.probabilities import Floats

_ROUNDS = 25
_CLOSE_ENOUGH = 1e-4
"""The estimation ends when the variances change by less than this share of the total variance."""
_SMALLEST_SHARE = 1e-6
"""Smallest share of the residual in the total variance, so that the covariance remains invertible."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomEffects:
    """The estimated variances of the effects of each grouping, followed by that of the residual."""

    variances: Floats
    information: Floats
    """tr(P G_k P G_l), shape (variances, variances). Half of this is the inverse covariance of `variances`."""
    covariances: Floats
    """G_k, shape (variances, n, n): 1 if two values share a group, otherwise 0; the identity for the residual."""
    fewest_degrees: int
    """The smallest number of groups in any grouping, minus 1."""
    most_degrees: int
    """n minus the number of estimated means."""

    def variance_of_mean(self, weights: Floats) -> tuple[float, float]:
        """Variance of sum(weights * values), where weights sum to 1, and its degrees of freedom.

        With c_k = w' G_k w, these are c's and (c's)^2 / c' F^-1 c (Satterthwaite 1946). The latter is n - 1 for n
        groups of one value. It approaches 1 if a variance is estimated near 0, which makes intervals useless, so the
        number of groups - 1 is used as the minimum (benchmarks/coverage.py measures the coverage).
        """
        of_mean = np.einsum("i,kij,j->k", weights, self.covariances, weights)
        variance = float(of_mean @ self.variances)
        uncertainty = float(of_mean @ np.linalg.solve(self.information, of_mean))
        degrees = max(float(self.fewest_degrees), variance**2 / uncertainty) if uncertainty > 0 else self.most_degrees
        return variance, float(min(self.most_degrees, degrees))


def fit_random_effects(
    values: Floats, groupings: Sequence[npt.NDArray[np.intp]], fixed: npt.NDArray[np.intp] | None = None
) -> RandomEffects:
    """Estimate the variance between the groups of each grouping. Groups are samples from a population of groups.

    values: shape (n,), at least two. A grouping contains the group of each value, as integers from 0. The groups of
    `fixed` are fixed effects: their means are removed. The model is
    value = mean + one normal effect for each group of each grouping + residual, with a variance for each grouping and
    for the residual. They are estimated by restricted maximum likelihood (Patterson and Thompson 1971) with Fisher
    scoring, which repeatedly solves tr(P G_k P G_l) s_l = y' P G_k P y with no variance below 0.

    statsmodels' MixedLM gives the same variances (a test compares them), but has no degrees of freedom, supports
    crossed groupings only as one group with variance components, and takes some 20 times as long (115 ms for 15
    values).
    """
    labels = tuple(each.astype(np.int64).tobytes() for each in groupings)
    return _fit(values.tobytes(), labels, None if fixed is None else fixed.astype(np.int64).tobytes())


@lru_cache(maxsize=64)
def _fit(of: bytes, groupings: tuple[bytes, ...], fixed: bytes | None) -> RandomEffects:
    """Cached, because the mean over shifts and the mean over sources are about the same values."""
    values = np.frombuffer(of)
    covariances, design, fewest = _layout(values.size, groupings, fixed)
    degrees = values.size - int(np.linalg.matrix_rank(design))
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    total = float(left @ left) / max(degrees, 1)
    kinds = len(covariances)
    least = min(fewest, degrees)
    if total <= 1e-24:
        return RandomEffects(np.zeros(kinds), np.eye(kinds), covariances, least, degrees)
    variances, information = np.full(kinds, total / kinds), np.eye(kinds)
    for _ in range(_ROUNDS):
        inverse = np.linalg.inv(np.tensordot(variances, covariances, 1))
        projected = inverse @ design
        projection = inverse - projected @ np.linalg.solve(design.T @ projected, projected.T)
        products = projection @ covariances
        information = np.array([[np.sum(one * other.T) for other in products] for one in products])
        error = projection @ values
        found = _not_negative(information, (covariances @ error) @ error)
        found[-1] = max(found[-1], _SMALLEST_SHARE * total)
        change = float(np.max(np.abs(found - variances)))
        variances = found
        if change < _CLOSE_ENOUGH * total:
            break
    return RandomEffects(variances, information, covariances, least, degrees)


@lru_cache(maxsize=64)
def _layout(n: int, groupings: tuple[bytes, ...], fixed: bytes | None) -> tuple[Floats, Floats, int]:
    """The matrices G_k, the design and the fewest groups - 1, cached for all metrics of the same shifts.

    A grouping with a single group, with one value per group, or equal to another is skipped.
    """
    kept: dict[bytes, npt.NDArray[np.bool_]] = {}
    fewest = n - 1
    for each in groupings:
        labels = np.frombuffer(each, dtype=np.int64)
        groups = np.unique(labels).size
        if 1 < groups < n:
            together = labels[:, None] == labels
            kept.setdefault(together.tobytes(), together)
            fewest = min(fewest, groups - 1)
    covariances = np.stack([*kept.values(), np.eye(n, dtype=bool)]).astype(np.float64)
    design = np.ones((n, 1))
    if fixed is not None:
        labels = np.unique(np.frombuffer(fixed, dtype=np.int64), return_inverse=True)[1]
        design = np.eye(int(labels.max()) + 1)[labels]
    return covariances, design, fewest


def _not_negative(matrix: Floats, right: Floats) -> Floats:
    """The solution of matrix @ x = right with negative entries set to 0, the most negative first."""
    active = np.ones(right.size, dtype=bool)
    while True:
        x = np.zeros(right.size)
        x[active] = np.linalg.lstsq(matrix[np.ix_(active, active)], right[active], rcond=None)[0]
        if np.all(x >= 0):
            return x
        active[np.argmin(x)] = False
