"""The pairs of one evaluation by prompt, and the means of their values in each resample of the prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import numpy as np

from genies.contract import Evaluation
from genies.data.evaluated import cluster_labels
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
    """The pairs of an evaluation. What is computed from them is computed once."""

    def __init__(self, probabilities: Sequence[float], labels: Sequence[int]) -> None:
        self.p = checked(probabilities)
        self.labels = checked_labels(labels, self.p.size)
        self.clusters, self.places = np.unique(self.labels, return_inverse=True)
        self._pairs = np.bincount(self.places).astype(np.float64)

    @cached_property
    def sums(self) -> Mapping[str, ClusterSums]:
        """The values of the pairs summed by prompt, by metric."""
        return {
            name: ClusterSums(self.clusters, np.bincount(self.places, of(self.p)).astype(np.float64), self._pairs)
            for name, of in EACH_PAIR.items()
        }

    @cached_property
    def drawn(self) -> Mapping[str, Floats]:
        """The mean over pairs in each resample of prompts, shape (RESAMPLES,), by metric; the same resamples for all
        evaluations with equally many prompts."""
        means = resampled_means_of(list(self.sums.values()), resample_weights(self.clusters.size, RESAMPLES, 0))
        return dict(zip(self.sums, means, strict=True))

    @cached_property
    def drawn_again(self) -> Floats:
        """The accuracy in other resamples, for a test set whose prompts are independent of another one's."""
        return resampled_means(self.sums["accuracy"], resample_weights(self.clusters.size, RESAMPLES, 1))


def pair_values(evaluation: Evaluation) -> PairValues | None:
    """The pairs of an evaluation; None if it does not contain probabilities and the example or prompt of each pair."""
    labels = cluster_labels(evaluation)
    return PairValues(evaluation.eval_probabilities, labels) if evaluation.eval_probabilities and labels else None
