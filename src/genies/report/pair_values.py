"""The pairs of one evaluation by prompt, and the means of their values in each resample of the prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count, islice
from types import MappingProxyType
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from genies.data.evaluated import cluster_labels
from genies.evaluation_file import Evaluation
from genies.metrics.calibration import log_losses
from genies.metrics.calibration_interval import errors_of_sums, sums_by_bin
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats, checked, checked_labels
from genies.metrics.resampling import ClusterSums, means_in_resamples, resample_weights

RESAMPLES = 2_000

_places = count()

EACH_PAIR: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"accuracy": scores, "brier_score": lambda p: (1 - p) ** 2, "log_loss": log_losses, "margin": lambda p: 2 * p - 1}
)
"""The metrics that are means over pairs, with the value of each pair, shape (pairs,)."""

_CALIBRATION = "RMS_calibration_error"


class PairValues:
    """The pairs of an evaluation. Resamples are computed again when they are no longer among those of the last
    evaluations, because those of all evaluations of a large study would not fit into memory."""

    def __init__(self, probabilities: Sequence[float], labels: Sequence[int]) -> None:
        self.p = checked(probabilities)
        self._examples = _by_prompt(tuple(labels))
        self.labels, self.clusters = self._examples.labels, self._examples.clusters
        self.needs_all_metrics: bool = False
        """Whether metrics other than accuracy are needed, as for those on the target of a shift."""
        self._place = next(_places)
        self._examples.evaluations[self._place] = self

    def sums(self, name: str) -> ClusterSums:
        """The values of the pairs summed by prompt, for a metric in EACH_PAIR."""
        values = np.bincount(self._examples.places, EACH_PAIR[name](self.p)).astype(np.float64)
        return ClusterSums(self.clusters, values, self._examples.pairs)

    def drawn(self, name: str) -> Floats:
        """The mean over pairs in each resample of prompts, shape (RESAMPLES,), of a metric in EACH_PAIR; the same
        resamples for all evaluations with equally many prompts."""
        return drawn_accuracies(self) if name == "accuracy" else drawn_means(self)[name]

    @property
    def calibration_error(self) -> float:
        """rms_calibration_error."""
        every = np.ones((1, self.clusters.size))
        return float(errors_of_sums(every @ _sums_by_bin(self))[0])

    def drawn_calibration_errors(self) -> Floats:
        """The calibration error in each resample, shape (RESAMPLES,), without the noise that resampling adds to it:
        the mean of its square is that of calibration_error, because a mean over shifts is about the observed values."""
        return drawn_means(self)[_CALIBRATION]

    def drawn_again(self) -> Floats:
        """The accuracy in other resamples, for a test set whose prompts are independent of another one's."""
        return _other_accuracies(self)

    def following(self) -> Iterator[PairValues]:
        """The evaluations on the same examples after this one."""
        return (each for place, each in self._examples.evaluations.items() if place > self._place)


@dataclass(frozen=True)
class _Examples:
    """What all evaluations on the same examples share, which are most of those on a target."""

    labels: npt.NDArray[np.int64]
    """The prompt of each pair."""
    clusters: npt.NDArray[np.int64]
    """The prompts."""
    places: npt.NDArray[np.intp]
    """The place of each pair's prompt in `clusters`."""
    pairs: Floats
    """The number of pairs of each prompt."""
    evaluations: WeakValueDictionary[int, PairValues] = field(default_factory=WeakValueDictionary)
    """Those in use, by a number that rises in the order in which they were read."""


@lru_cache(maxsize=1_024)
def _by_prompt(labels: tuple[int, ...]) -> _Examples:
    each = checked_labels(labels, len(labels))
    clusters, places = np.unique(each, return_inverse=True)
    return _Examples(each, clusters, places, np.bincount(places).astype(np.float64))


T = TypeVar("T")


class Draws(Generic[T]):
    """The resamples of the last evaluations. Those of the next evaluations on the same examples are computed with one
    product, because they are needed next and the weights are larger than a processor's cache."""

    def __init__(
        self,
        compute: Callable[[Sequence[PairValues]], Iterable[T]],
        together: int,
        kept: int,
        needs: Callable[[PairValues], bool] = lambda _: True,
    ) -> None:
        self._compute, self._together, self._most, self._needs = compute, together, kept, needs
        self._kept: OrderedDict[PairValues, T] = OrderedDict()
        self.computed = 0
        """Number of evaluations whose resamples were computed."""

    def __call__(self, values: PairValues) -> T:
        if values not in self._kept:
            others = (each for each in values.following() if self._needs(each) and each not in self._kept)
            those = [values, *islice(others, self._together - 1)]
            self._kept.update(zip(those, self._compute(those), strict=True))
            self.computed += len(those)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(values)
        return self._kept[values]


def _accuracies(seed: int) -> Draws[Floats]:
    def compute(those: Sequence[PairValues]) -> Iterable[Floats]:
        weights = resample_weights(those[0].clusters.size, RESAMPLES, seed)
        parts = [each.sums("accuracy") for each in those]
        return means_in_resamples(parts, weights @ np.stack([part.sums for part in parts], axis=1), weights)

    return Draws(compute, 32, 4_096)


drawn_accuracies, _other_accuracies = _accuracies(0), _accuracies(1)


def _means(those: Sequence[PairValues]) -> Iterator[Mapping[str, Floats]]:
    """Those of the metrics in EACH_PAIR except accuracy, which is often needed alone, and the calibration errors."""
    weights = resample_weights(those[0].clusters.size, RESAMPLES, 0)
    names = [name for name in EACH_PAIR if name != "accuracy"]
    parts = [[each.sums(name) for name in names] for each in those]
    tables = [
        np.column_stack([*(part.sums for part in of), _sums_by_bin(each)])
        for each, of in zip(those, parts, strict=True)
    ]
    ends = np.cumsum([table.shape[1] for table in tables])
    drawn = np.split(weights @ np.concatenate(tables, axis=1), ends[:-1], axis=1)
    for each, of, sums in zip(those, parts, drawn, strict=True):
        squares = errors_of_sums(sums[:, len(of) :]) ** 2
        errors = np.sqrt(np.maximum(squares - (np.mean(squares) - each.calibration_error**2), 0))
        means = means_in_resamples(of, sums[:, : len(of)], weights)
        yield {_CALIBRATION: errors, **dict(zip(names, means, strict=True))}


def _needs_all_metrics(values: PairValues) -> bool:
    return values.needs_all_metrics


drawn_means = Draws(_means, 16, 2_048, _needs_all_metrics)


@lru_cache(maxsize=128)
def _sums_by_bin(values: PairValues) -> Floats:
    """Cached because the value, the interval and the resamples of a metric are needed soon after another."""
    return sums_by_bin(values.p, values.labels)


def pair_values(evaluation: Evaluation) -> PairValues | None:
    """The pairs of an evaluation; None if it does not contain probabilities and the example or prompt of each pair."""
    labels = cluster_labels(evaluation)
    return PairValues(evaluation.eval_probabilities, labels) if evaluation.eval_probabilities and labels else None
