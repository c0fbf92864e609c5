"""The bootstrap over clusters: the pairs of one prompt are drawn together, for they are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.metrics.probabilities import Floats, Indices, checked_labels

FEWEST_CLUSTERS = 5
"""Fewer prompts than this give no interval and no test: they do not show how much prompts differ."""


def too_few_clusters(clusters: int) -> str:
    """Why so few clusters have no interval; empty text where they are enough.

    >>> too_few_clusters(1)
    'the test examples have 1 different prompt; an interval needs at least 5'
    """
    if clusters >= FEWEST_CLUSTERS:
        return ""
    prompts = "prompt" if clusters == 1 else "prompts"
    return f"the test examples have {clusters} different {prompts}; an interval needs at least {FEWEST_CLUSTERS}"


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """The values of pairs, added up by cluster (or by example). A mean over pairs is sums.sum() / pairs.sum()."""

    clusters: npt.NDArray[np.int64]
    """Labels, ascending, shape (clusters,)."""
    sums: Floats
    """Sum of the values of each cluster's pairs, shape (clusters,)."""
    pairs: Floats
    """How many pairs each cluster has, shape (clusters,)."""

    @property
    def mean(self) -> float:
        """The mean over pairs."""
        return float(np.sum(self.sums) / np.sum(self.pairs))

    @property
    def one_pair_each(self) -> bool:
        return bool(np.all(self.pairs == 1))

    def over(self, clusters: npt.NDArray[np.int64]) -> ClusterSums:
        """The same for more clusters; one that has no pair here counts nothing."""
        places = np.searchsorted(clusters, self.clusters)
        sums, pairs = np.zeros(clusters.size), np.zeros(clusters.size)
        sums[places], pairs[places] = self.sums, self.pairs
        return ClusterSums(clusters, sums, pairs)


def sums_by_cluster(values: Floats, labels: Indices) -> ClusterSums:
    """`values` of the pairs, shape (pairs,), added up by the label of each pair; the pairs may be in any order.

    >>> sums_by_cluster(np.array([1.0, 0.0, 0.5]), [4, 7, 4])
    ClusterSums(clusters=array([4, 7]), sums=array([1.5, 0. ]), pairs=array([2., 1.]))
    """
    clusters, places = np.unique(checked_labels(labels, values.size), return_inverse=True)
    return ClusterSums(clusters, _added_up(places, values), _added_up(places, np.ones(values.size)))


def _added_up(places: npt.NDArray[np.intp], values: Floats) -> Floats:
    added: Floats = np.bincount(places, values).astype(np.float64)
    return added


def on_same_clusters(parts: Sequence[ClusterSums]) -> list[ClusterSums]:
    """Sums over the union of their clusters, in one order, so that one draw of clusters serves them all."""
    clusters = np.unique(np.concatenate([each.clusters for each in parts]))
    return [each.over(clusters) for each in parts]


@lru_cache(maxsize=32)
def resample_weights(clusters: int, resamples: int, seed: int) -> Floats:
    """How often each cluster is drawn in each resample, shape (resamples, clusters); a row adds up to `clusters`.

    Seeded by all three, so that it is the same everywhere; the array is shared and cannot be written to.
    """
    draw = np.random.default_rng([seed, clusters, resamples])
    chosen = draw.integers(clusters, size=(resamples, clusters))
    chosen += np.arange(resamples)[:, None] * clusters
    counts = np.bincount(chosen.ravel(), minlength=resamples * clusters)
    weights: Floats = counts.reshape(resamples, clusters).astype(np.float64)
    weights.flags.writeable = False
    return weights


def resampled_means(part: ClusterSums, weights: Floats) -> Floats:
    """The mean over pairs in each resample, shape (resamples,); a resample without any pair has the mean itself."""
    if np.all(part.pairs == part.pairs[0]):  # a resample has as many pairs as the sample
        means: Floats = (weights @ part.sums) / np.sum(part.pairs)
        return means
    pairs = weights @ part.pairs
    return np.where(pairs > 0, (weights @ part.sums) / np.maximum(pairs, 1), part.mean)


def resampled_means_of_few_kinds(part: ClusterSums, resamples: int, seed: int) -> Floats:
    """resampled_means without the weights: only how often each kind of cluster is drawn matters.

    Clusters with the same sum and number of pairs are of one kind. Drawing n clusters gives kinds with a multinomial
    distribution, so that the result is distributed as with resample_weights; with few kinds, as the scores of pairs
    have, it is many times faster.
    """
    kinds, counts = np.unique(np.stack([part.sums, part.pairs], axis=1), axis=0, return_counts=True)
    draw = np.random.default_rng([seed, part.sums.size, resamples])
    drawn = draw.multinomial(part.sums.size, counts / part.sums.size, size=resamples)
    means: Floats = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    return means
