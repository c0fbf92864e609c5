"""The bootstrap over clusters. The pairs of one prompt are not independent, so they are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.metrics.probabilities import Floats, Indices, checked_labels

FEWEST_CLUSTERS = 5
"""With fewer prompts there is no interval and no test, because they do not show how much prompts differ."""


def too_few_clusters(clusters: int) -> str:
    """The reason why there is no interval for so few clusters; empty if there are enough.

    >>> too_few_clusters(1)
    'the test examples have 1 different prompt; an interval needs at least 5'
    """
    if clusters >= FEWEST_CLUSTERS:
        return ""
    prompts = "prompt" if clusters == 1 else "prompts"
    return f"the test examples have {clusters} different {prompts}; an interval needs at least {FEWEST_CLUSTERS}"


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """Values of pairs summed by cluster (or by example). The mean over pairs is sums.sum() / pairs.sum()."""

    clusters: npt.NDArray[np.int64]
    """Labels in ascending order, shape (clusters,)."""
    sums: Floats
    """Sum of the values of each cluster's pairs, shape (clusters,)."""
    pairs: Floats
    """Number of pairs in each cluster, shape (clusters,)."""

    @property
    def mean(self) -> float:
        """The mean over pairs."""
        return float(np.sum(self.sums) / np.sum(self.pairs))

    @property
    def one_pair_each(self) -> bool:
        return bool(np.all(self.pairs == 1))

    @property
    def same_everywhere(self) -> bool:
        """Whether all clusters have the same mean."""
        return bool(np.ptp(self.sums / self.pairs) == 0)

    def over(self, clusters: npt.NDArray[np.int64]) -> ClusterSums:
        """The same sums over a superset of clusters; clusters without pairs have 0."""
        places = np.searchsorted(clusters, self.clusters)
        sums, pairs = np.zeros(clusters.size), np.zeros(clusters.size)
        sums[places], pairs[places] = self.sums, self.pairs
        return ClusterSums(clusters, sums, pairs)


def sums_by_cluster(values: Floats, labels: Indices) -> ClusterSums:
    """`values` of the pairs, shape (pairs,), summed by the label of each pair. The pairs can be in any order.

    >>> sums_by_cluster(np.array([1.0, 0.0, 0.5]), [4, 7, 4])
    ClusterSums(clusters=array([4, 7]), sums=array([1.5, 0. ]), pairs=array([2., 1.]))
    """
    clusters, places = np.unique(checked_labels(labels, values.size), return_inverse=True)
    return ClusterSums(clusters, _added_up(places, values), _added_up(places, np.ones(values.size)))


def _added_up(places: npt.NDArray[np.intp], values: Floats) -> Floats:
    added: Floats = np.bincount(places, values).astype(np.float64)
    return added


def on_same_clusters(parts: Sequence[ClusterSums]) -> list[ClusterSums]:
    """Sums over the union of the clusters, in the same order, so that all can use the same resamples."""
    clusters = np.unique(np.concatenate([each.clusters for each in parts]))
    return [each.over(clusters) for each in parts]


def resample_weights(clusters: int, resamples: int, seed: int) -> Floats:
    """How often each cluster is drawn in each resample, shape (resamples, clusters). Each row sums to `clusters`.

    The result depends only on the three arguments.
    """
    return _counts_drawn(clusters, resamples, seed).astype(np.float64)


@lru_cache(maxsize=32)
def _counts_drawn(clusters: int, resamples: int, seed: int) -> npt.NDArray[np.unsignedinteger]:
    """The weights in the smallest type that holds them, because those of many test sets are cached."""
    draw = np.random.default_rng([seed, clusters, resamples])
    chosen = draw.integers(clusters, size=(resamples, clusters))
    chosen += np.arange(resamples)[:, None] * clusters
    counts = np.bincount(chosen.ravel(), minlength=resamples * clusters)
    return counts.reshape(resamples, clusters).astype(np.min_scalar_type(counts.max()))


def resampled_means(part: ClusterSums, weights: Floats) -> Floats:
    """The mean over pairs in each resample, shape (resamples,). A resample without pairs has the mean of the sample."""
    means: Floats = means_in_resamples([part], weights @ part.sums[:, None], weights)[0]
    return means


def means_in_resamples(parts: Sequence[ClusterSums], drawn_sums: Floats, weights: Floats) -> Floats:
    """resampled_means of several values of the same pairs, shape (parts, resamples).

    drawn_sums: weights @ sums, with a column for each of `parts`, shape (resamples, parts).
    """
    pairs = parts[0].pairs
    sums = np.ascontiguousarray(drawn_sums.T)
    if np.all(pairs == pairs[0]):  # each resample has as many pairs as the sample
        sums /= np.sum(pairs)
        return sums
    drawn = weights @ pairs
    means = np.array([[part.mean] for part in parts])
    return np.where(drawn > 0, sums / np.maximum(drawn, 1), means)


def resampled_means_of_few_kinds(part: ClusterSums, resamples: int, seed: int) -> Floats:
    """resampled_means computed from the number of draws of each kind of cluster, without weights.

    Clusters with the same sum and number of pairs are of the same kind. If n clusters are drawn, the counts of kinds
    are multinomial, so the result has the same distribution as with resample_weights. With few kinds, as for scores of
    pairs, it is many times faster.
    """
    kinds, counts = np.unique(np.stack([part.sums, part.pairs], axis=1), axis=0, return_counts=True)
    draw = np.random.default_rng([seed, part.sums.size, resamples])
    drawn = draw.multinomial(part.sums.size, counts / part.sums.size, size=resamples)
    means: Floats = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    return means
