"""The scores of one evaluation by test example, for comparing evaluations on common examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from genies.data.evaluated import cluster_labels
from genies.evaluation_file import Evaluation
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, checked_labels
from genies.metrics.resampling import ClusterSums


@dataclass(frozen=True, eq=False)
class ExampleScores:
    """The scores of one evaluation's pairs summed by test example, and the prompt cluster of each example."""

    sums: ClusterSums
    clusters: npt.NDArray[np.int64]

    @cached_property
    def examples(self) -> set[tuple[int, float]]:
        """All examples with their numbers of pairs."""
        return set(zip(self.sums.clusters.tolist(), self.sums.pairs.tolist(), strict=True))

    def same_examples(self, other: ExampleScores) -> bool:
        """Whether both have the same examples with equal numbers of pairs, at least one."""
        ours, theirs = self.sums, other.sums
        shared = ours.clusters is theirs.clusters and ours.pairs is theirs.pairs
        same = shared or (np.array_equal(ours.clusters, theirs.clusters) and np.array_equal(ours.pairs, theirs.pairs))
        return same and ours.clusters.size > 0

    def over(self, examples: npt.NDArray[np.int64]) -> ExampleScores:
        kept = np.isin(self.sums.clusters, examples)
        sums = ClusterSums(self.sums.clusters[kept], self.sums.sums[kept], self.sums.pairs[kept])
        return ExampleScores(sums, self.clusters[kept])


def example_scores(evaluation: Evaluation) -> ExampleScores | None:
    """The scores of an evaluation; None if it does not contain the example of each pair."""
    if not evaluation.eval_probabilities or evaluation.eval_example_indices is None:
        return None
    labels = cluster_labels(evaluation) or []
    examples, places, pairs, clusters = _layout(tuple(evaluation.eval_example_indices), tuple(labels))
    sums = np.bincount(places, scores(evaluation.eval_probabilities)).astype(np.float64)
    return ExampleScores(ClusterSums(examples, sums, pairs), clusters)


@lru_cache(maxsize=1_024)
def _layout(
    indices: tuple[int, ...], labels: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp], Floats, npt.NDArray[np.int64]]:
    """The examples, the place of each pair's example among them, their numbers of pairs and their clusters."""
    given = checked_labels(indices, len(indices))
    examples, first, places = np.unique(given, return_index=True, return_inverse=True)
    return examples, places, np.bincount(places).astype(np.float64), np.asarray(labels)[first]
