"""Training pairs: their order, their distribution over processes, and their division into forward passes.

The order depends only on the seed and the number of pairs. The number of processes and the token budget do not change
results.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from genies.data.distribution import Distribution, Pair, Sample, one_pair_per_example
from genies.lm.packing import LEAST_SHARED, shared_length
from genies.lm.text import TokenSequence
from genies.lm.text_format import RAW, TextFormat
from genies.methods.responses import encode_pairs

Change = Callable[[list[Pair]], list[Pair]]
"""Turns pairs of a distribution into those whose texts a method scores, such as questions about them."""


Augment = Callable[[list[Pair], int], tuple[list[Pair], list[Pair]]]
"""Makes further pairs from pairs and a seed: those whose best response is preferred, and those of equal responses."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """The best response of an example and one worse response, as token sequences."""

    example_index: int
    best: TokenSequence
    worse: TokenSequence
    label: float = 1.0
    """The probability that the best response is better: 1, or less if labels are uncertain; 0.5 for a tie."""

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of the pair in a packed row, where a shared prefix counts once."""
        shared = shared_length(self.best.ids, self.worse.ids)
        return len(self.best.ids) + len(self.worse.ids) - (shared if shared >= LEAST_SHARED else 0)

    @property
    def padded_tokens(self) -> int:
        """Number of tokens of the longer sequence."""
        return max(len(self.best.ids), len(self.worse.ids))


@dataclass(frozen=True)
class TrainingData:
    """The pairs on which a model is tuned."""

    source: Path
    pairs: list[TrainingPair]
    left_out: tuple[int, ...]
    """Indices of the examples left out because one of their texts does not fit into the model's context."""
    text_format: TextFormat = RAW


def read_training_data(
    source: Path,
    max_examples: int | None,
    seed: int,
    tokenizer: Any,
    context_length: int | None,
    sample: Sample = "first",
    text_format: TextFormat = RAW,
    change: Change | None = None,
    augment: Augment | None = None,
) -> TrainingData:
    """Draw one pair per example of a source's train split with `seed`; InputError if none fits into the context.

    `max_examples` and `sample` select the examples: see Distribution.training_sample. `change` turns the drawn pairs
    into those on which a method trains, such as questions about them; `augment` makes further pairs from them first.
    """
    drawn = one_pair_per_example(Distribution(source).training_sample(max_examples, sample, seed), seed)

    def encoded(pairs: list[Pair], label: float = 1.0) -> tuple[list[TrainingPair], tuple[int, ...]]:
        changed = change(pairs) if change else pairs
        return encode_training_pairs(changed, source, tokenizer, context_length, text_format, label)

    found, left_out = encoded(drawn)
    if augment is not None:
        preferred, ties = augment([pair for pair in drawn if pair.example_index not in left_out], seed)
        for more, label in ((preferred, 1.0), (ties, 0.5)):
            found += encoded(more, label)[0] if more else []
    return TrainingData(source, found, left_out, text_format)


def encode_training_pairs(
    pairs: Sequence[Pair],
    source: Path,
    tokenizer: Any,
    context_length: int | None,
    text_format: TextFormat,
    label: float = 1.0,
) -> tuple[list[TrainingPair], tuple[int, ...]]:
    """The pairs that fit into the context, each with the same label, and the indices of the examples left out."""
    encoded = encode_pairs(tokenizer, context_length, pairs, source, text_format)
    found = [
        TrainingPair(pair.example_index, best, worse, label)
        for pair, best, worse in zip(encoded.pairs, encoded.best, encoded.worse, strict=True)
    ]
    return found, encoded.left_out


def neighbours(texts: Sequence[TokenSequence]) -> list[TrainingPair]:
    """Texts in pairs, in order, to score them as pairs are; an odd number repeats the last text."""
    return [
        TrainingPair(place, texts[place], texts[min(place + 1, len(texts) - 1)]) for place in range(0, len(texts), 2)
    ]


def pairs_of_step(step: int, count: int, batch_size: int, seed: int) -> list[int]:
    """The indices, of `count` pairs, used in step number `step`, from 0: min(count, batch_size) of them.

    Consecutive steps go through seeded permutations of all pairs, so each pair is used equally often.

    >>> [pairs_of_step(step, count=3, batch_size=2, seed=0) for step in range(3)]
    [[2, 0], [1, 1], [0, 2]]
    """
    size = min(count, batch_size)
    places = range(step * size, (step + 1) * size)
    return [_permutation(count, seed, place // count)[place % count] for place in places]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"order {seed} {epoch}").shuffle(order)
    return tuple(order)


def share_among(processes: int, sizes: Sequence[int]) -> list[list[int]]:
    """For each process, indices into `sizes`, chosen so that the sums of sizes are similar.

    >>> share_among(2, [5, 3, 4, 1])
    [[0, 3], [1, 2]]
    """
    shares: list[list[int]] = [[] for _ in range(processes)]
    load = [0] * processes
    for place in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        least = load.index(min(load))
        shares[least].append(place)
        load[least] += sizes[place]
    return [sorted(share) for share in shares]


def divide(
    pairs: Sequence[TrainingPair], budget: int, packed: bool, company: Callable[[int], Hashable] = lambda _length: 0
) -> list[list[int]]:
    """Divide pairs into groups (lists of indices) for one forward pass, of at most `budget` tokens or a single pair.

    In padded rows, padding counts. Sequences may share a forward pass if `company` returns the same value for their
    lengths. A pair whose two sequences may not share one is a separate group.
    """
    apart: list[list[int]] = []
    together: dict[Hashable, list[int]] = {}
    for place, pair in enumerate(pairs):
        best, worse = company(len(pair.best.ids)), company(len(pair.worse.ids))
        if best == worse:
            together.setdefault(best, []).append(place)
        else:
            apart.append([place])
    groups = [group for places in together.values() for group in _divide(pairs, places, budget, packed)]
    return groups + apart


def _divide(pairs: Sequence[TrainingPair], places: Sequence[int], budget: int, packed: bool) -> list[list[int]]:
    """Divide `places`, indices of pairs that may share a forward pass, into groups."""
    sizes = {place: pairs[place].packed_tokens if packed else pairs[place].padded_tokens for place in places}
    groups: list[list[int]] = []
    free: list[int] = []
    for place in sorted(places, key=lambda place: (-sizes[place], place)):
        # Longest first: a group's first pair sets the width of its padded rows.
        need = [sizes[place] if packed else 2 * sizes[group[0]] for group in groups]
        fitting = next((index for index, room in enumerate(free) if need[index] <= room), None)
        if fitting is None:
            groups.append([place])
            free.append(budget - (sizes[place] if packed else 2 * sizes[place]))
        else:
            groups[fitting].append(place)
            free[fitting] -= need[fitting]
    return groups
