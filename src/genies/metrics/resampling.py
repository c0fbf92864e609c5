"""The bootstrap over examples: pairs of one example are drawn together, for they are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genies.metrics.probabilities import Floats, Indices, checked_indices


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSums:
    """The values of pairs, added up by example. A mean over pairs is sums.sum() / pairs.sum()."""

    examples: npt.NDArray[np.int64]
    """Test indices, ascending, shape (examples,)."""
    sums: Floats
    """Sum of the values of each example's pairs, shape (examples,)."""
    pairs: Floats
    """How many pairs each example has, shape (examples,)."""

    @property
    def mean(self) -> float:
        """The mean over pairs."""
        return float(np.sum(self.sums) / np.sum(self.pairs))

    @property
    def one_pair_each(self) -> bool:
        return bool(np.all(self.pairs == 1))

    def over(self, examples: npt.NDArray[np.int64]) -> ExampleSums:
        """The same for more examples; one that has no pair here counts nothing."""
        places = np.searchsorted(examples, self.examples)
        sums, pairs = np.zeros(examples.size), np.zeros(examples.size)
        sums[places], pairs[places] = self.sums, self.pairs
        return ExampleSums(examples, sums, pairs)


def sums_by_example(values: Floats, example_indices: Indices) -> ExampleSums:
    """`values` of the pairs, shape (pairs,), added up by example; the pairs may stand in any order.

    >>> sums_by_example(np.array([1.0, 0.0, 0.5]), [4, 7, 4])
    ExampleSums(examples=array([4, 7]), sums=array([1.5, 0. ]), pairs=array([2., 1.]))
    """
    indices = checked_indices(example_indices, values.size)
    examples, places = np.unique(indices, return_inverse=True)
    return ExampleSums(examples, _added_up(places, values), _added_up(places, np.ones(values.size)))


def _added_up(places: npt.NDArray[np.intp], values: Floats) -> Floats:
    added: Floats = np.bincount(places, values).astype(np.float64)
    return added


def on_same_examples(parts: Sequence[ExampleSums]) -> list[ExampleSums]:
    """Sums over the union of their examples, in one order, so that one draw of examples serves them all."""
    examples = np.unique(np.concatenate([each.examples for each in parts]))
    return [each.over(examples) for each in parts]


@lru_cache(maxsize=32)
def resample_weights(examples: int, resamples: int, seed: int) -> Floats:
    """How often each example is drawn in each resample, shape (resamples, examples); a row adds up to `examples`.

    Seeded by all three, so that it is the same everywhere; the array is shared and cannot be written to.
    """
    draw = np.random.default_rng([seed, examples, resamples])
    chosen = draw.integers(examples, size=(resamples, examples))
    chosen += np.arange(resamples)[:, None] * examples
    counts = np.bincount(chosen.ravel(), minlength=resamples * examples)
    weights: Floats = counts.reshape(resamples, examples).astype(np.float64)
    weights.flags.writeable = False
    return weights


def resampled_means(part: ExampleSums, weights: Floats) -> Floats:
    """The mean over pairs in each resample, shape (resamples,); a resample without any pair has the mean itself."""
    if np.all(part.pairs == part.pairs[0]):  # a resample has as many pairs as the sample
        means: Floats = (weights @ part.sums) / np.sum(part.pairs)
        return means
    pairs = weights @ part.pairs
    return np.where(pairs > 0, (weights @ part.sums) / np.maximum(pairs, 1), part.mean)


def resampled_means_of_few_kinds(part: ExampleSums, resamples: int, seed: int) -> Floats:
    """resampled_means without the weights: only how often each kind of example is drawn matters.

    Examples with the same sum and number of pairs are of one kind. Drawing n examples gives kinds with a multinomial
    distribution, so that the result is distributed as with resample_weights; with few kinds, as the scores of pairs
    have, it is many times faster.
    """
    kinds, counts = np.unique(np.stack([part.sums, part.pairs], axis=1), axis=0, return_counts=True)
    draw = np.random.default_rng([seed, part.sums.size, resamples])
    drawn = draw.multinomial(part.sums.size, counts / part.sums.size, size=resamples)
    means: Floats = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    return means
