"""The pairs of one evaluation by prompt, and the means of their values in each resample of the prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from genies.data.evaluated import cluster_labels
from genies.evaluation_file import Evaluation
from genies.metrics.calibration import log_losses
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, checked, checked_labels
from genies.metrics.resampling import ClusterSums, resample_weights, resampled_means, resampled_means_of

RESAMPLES = 2_000

EACH_PAIR: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"accuracy": scores, "brier_score": lambda p: (1 - p) ** 2, "log_loss": log_losses, "margin": lambda p: 2 * p - 1}
)
"""The metrics that are means over pairs, with the value of each pair, shape (pairs,)."""


class PairValues:
    """The pairs of an evaluation. Resamples are computed again when they are no longer among those of the last
    evaluations, because those of all evaluations of a large study would not fit into memory."""

    def __init__(self, probabilities: Sequence[float], labels: Sequence[int]) -> None:
        self.p = checked(probabilities)
        self.labels, self.clusters, self._places, self._pairs = _by_prompt(tuple(labels))

    def sums(self, name: str) -> ClusterSums:
        """The values of the pairs summed by prompt, for a metric in EACH_PAIR."""
        values = np.bincount(self._places, EACH_PAIR[name](self.p)).astype(np.float64)
        return ClusterSums(self.clusters, values, self._pairs)

    def drawn(self, name: str) -> Floats:
        """The mean over pairs in each resample of prompts, shape (RESAMPLES,), of a metric in EACH_PAIR; the same
        resamples for all evaluations with equally many prompts."""
        if name == "accuracy":
            return _drawn_accuracy(self, 0)
        return _drawn_means(self)[name]

    def drawn_again(self) -> Floats:
        """The accuracy in other resamples, for a test set whose prompts are independent of another one's."""
        return _drawn_accuracy(self, 1)


@lru_cache(maxsize=1_024)
def _by_prompt(
    labels: tuple[int, ...],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.intp], Floats]:
    """The label of each pair, the clusters, the place of each pair's cluster among them, and their numbers of pairs.

    Shared by all evaluations on the same examples, which are most of those on a target.
    """
    each = checked_labels(labels, len(labels))
    clusters, places = np.unique(each, return_inverse=True)
    return each, clusters, places, np.bincount(places).astype(np.float64)


@lru_cache(maxsize=4_096)
def _drawn_accuracy(values: PairValues, seed: int) -> Floats:
    return resampled_means(values.sums("accuracy"), resample_weights(values.clusters.size, RESAMPLES, seed))


@lru_cache(maxsize=2_048)
def _drawn_means(values: PairValues) -> Mapping[str, Floats]:
    """Those of all metrics in EACH_PAIR, with one product."""
    weights = resample_weights(values.clusters.size, RESAMPLES, 0)
    return dict(zip(EACH_PAIR, resampled_means_of([*map(values.sums, EACH_PAIR)], weights), strict=True))


def pair_values(evaluation: Evaluation) -> PairValues | None:
    """The pairs of an evaluation; None if it does not contain probabilities and the example or prompt of each pair."""
    labels = cluster_labels(evaluation)
    return PairValues(evaluation.eval_probabilities, labels) if evaluation.eval_probabilities and labels else None
