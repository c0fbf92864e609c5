"""The variance of a weighted mean of values that share sources and targets, by a random-effects model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.metrics.probabilities import Floats

_ROUNDS = 25
_CLOSE_ENOUGH = 1e-4
"""Change of a variance, as a share of all variance, at which the estimation ends."""
_SMALLEST_SHARE = 1e-6
"""Of the residual in all variance, so that the covariance stays invertible."""


@dataclass(frozen=True, slots=True, eq=False)
class RandomEffects:
    """The estimated variances of the effects of each grouping, and of the residual, which is last."""

    variances: Floats
    information: Floats
    """tr(P G_k P G_l), shape (variances, variances): half the inverse covariance of `variances` is this."""
    covariances: Floats
    """G_k: 1 where two values share a group, shape (variances, n, n); the identity for the residual."""
    fewest_degrees: int
    """One less than the number of groups of the grouping with the fewest."""
    most_degrees: int
    """n less the number of means that were estimated."""

    def variance_of_mean(self, weights: Floats) -> tuple[float, float]:
        """Variance of sum(weights * values), weights adding up to 1, and its degrees of freedom.

        With c_k = w' G_k w: c's, and (c's)^2 / c' F^-1 c (Satterthwaite 1946), which is n - 1 for n groups of one
        value. That approximation comes down to 1 where a variance is estimated as next to nothing, and intervals then
        hold everything; so no less than the number of groups - 1 is taken (benchmarks/coverage.py has the coverage).
        """
        of_mean = np.einsum("i,kij,j->k", weights, self.covariances, weights)
        variance = float(of_mean @ self.variances)
        uncertainty = float(of_mean @ np.linalg.solve(self.information, of_mean))
        degrees = max(float(self.fewest_degrees), variance**2 / uncertainty) if uncertainty > 0 else self.most_degrees
        return variance, float(min(self.most_degrees, degrees))


def fit_random_effects(
    values: Floats, groupings: Sequence[npt.NDArray[np.intp]], fixed: npt.NDArray[np.intp] | None = None
) -> RandomEffects:
    """Estimate how much the groups of each grouping differ; each group is a draw from a population of groups.

    values: shape (n,), at least two. A grouping holds the group of each value, whole numbers from 0; the groups of
    `fixed` are no draws, and their means are taken out. The model is
    value = mean + one normal effect a group of each grouping + residual, each kind with a variance of its own,
    estimated by restricted maximum likelihood (Patterson and Thompson 1971): Fisher scoring, which solves
    tr(P G_k P G_l) s_l = y' P G_k P y over and over, with no variance below 0.

    statsmodels' MixedLM gives the same variances (a test compares them), but has no degrees of freedom, takes crossed
    groupings only as one group with variance components, and takes some 20 times as long (115 ms for 15 values).
    """
    labels = tuple(each.astype(np.int64).tobytes() for each in groupings)
    covariances, design, fewest = _layout(values.size, labels, None if fixed is None else fixed.tobytes())
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
    """The matrices G_k, the design and the fewest groups - 1, once for all metrics of the same shifts.

    A grouping that is one group, has a value a group or is the same as another adds nothing.
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
    """The solution of matrix @ x = right without its negative entries, the most negative left out first."""
    active = np.ones(right.size, dtype=bool)
    while True:
        x = np.zeros(right.size)
        x[active] = np.linalg.lstsq(matrix[np.ix_(active, active)], right[active], rcond=None)[0]
        if np.all(x >= 0):
            return x
        active[np.argmin(x)] = False
