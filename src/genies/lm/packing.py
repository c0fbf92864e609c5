"""Pack token sequences into rows: a row contains shared prefixes once, and branches do not see each other.

Sequences are packed in lexicographic order, in which no earlier sequence shares a longer prefix with a sequence than
the one directly before it. A row is therefore the prefix tree (trie) of its sequences in depth-first order. It is a
list of runs: a run is a stretch of new tokens that see the path from which it branches off, and the tokens of the run
up to themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LEAST_SHARED = 8
"""Shared prefixes shorter than this are computed again, because a branch would cost more."""

_ROW_OVERHEAD = 64
"""Fixed cost of a row, in tokens."""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of tokens in a row."""

    start: int
    stop: int
    prefix: tuple[tuple[int, int], ...]
    """The stretches (start, stop) of the row, in order, that all tokens of the run see before the run itself."""

    @property
    def position(self) -> int:
        """Position of the run's first token in its sequence: the length of its prefix."""
        return sum(stop - start for start, stop in self.prefix)


@dataclass(frozen=True)
class Row:
    """Several sequences in one row of tokens.

    >>> row = pack([[1, 2, 3, 4], [1, 2, 5]], least_shared=1)
    >>> row.ids
    [1, 2, 3, 4, 5]
    >>> row.positions
    [0, 1, 2, 3, 2]
    >>> row.paths
    [((0, 4),), ((0, 2), (4, 5))]
    >>> row.mask().int()
    tensor([[1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0],
            [1, 1, 1, 1, 0],
            [1, 1, 0, 0, 1]], dtype=torch.int32)
    """

    ids: list[int]
    runs: tuple[Run, ...]
    paths: list[tuple[tuple[int, int], ...]]
    """For each sequence, the stretches of the row that contain its tokens, in order."""

    @cached_property
    def positions(self) -> list[int]:
        """The position of each token in its own sequence."""
        return [run.position + step for run in self.runs for step in range(run.stop - run.start)]

    @cached_property
    def longest(self) -> int:
        """Length of the longest sequence."""
        return max(run.position + run.stop - run.start for run in self.runs)

    def indices(self, sequence: int) -> list[int]:
        """Indices in the row of a sequence's tokens."""
        return [index for start, stop in self.paths[sequence] for index in range(start, stop)]

    def mask(self, window: int | None = None) -> Tensor:
        """Boolean mask [tokens, tokens], True where the token of the row may see the token of the column.

        With `window`, a token sees only the `window` nearest tokens, itself included, as in sliding-window attention.
        """
        visible = torch.zeros(len(self.ids), len(self.ids), dtype=torch.bool)
        for run in self.runs:
            for start, stop in run.prefix:
                visible[run.start : run.stop, start:stop] = True
            visible[run.start : run.stop, run.start : run.stop] = True
        positions = torch.tensor(self.positions)
        distance = positions[:, None] - positions[None, :]
        visible &= distance >= 0
        return visible if window is None else visible & (distance < window)


def pack(sequences: Sequence[Sequence[int]], least_shared: int = LEAST_SHARED) -> Row:
    """One row that contains all sequences, each of at least one token.

    Every order of the sequences is valid; lexicographic order shares the most. A sequence that shares fewer than
    `least_shared` tokens with the sequence before it shares none. See Row for an example. Nested branches:

    >>> for run in pack([[1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 6]], least_shared=1).runs:
    ...     print(run)
    Run(start=0, stop=3, prefix=())
    Run(start=3, stop=5, prefix=((0, 2),))
    Run(start=5, stop=6, prefix=((0, 2), (3, 4)))
    """
    ids: list[int] = []
    runs: list[Run] = []
    paths: list[tuple[tuple[int, int], ...]] = []
    previous: Sequence[int] = ()
    path: tuple[tuple[int, int], ...] = ()
    for sequence in sequences:
        shared = shared_length(previous, sequence)
        if shared < least_shared:
            shared = 0
        prefix = _first(path, shared)
        start, stop = len(ids), len(ids) + len(sequence) - shared
        ids.extend(sequence[shared:])
        if prefix and prefix[-1][1] == start and runs[-1].stop == start:
            # The sequence continues at the end of the previous one.
            runs[-1] = Run(runs[-1].start, stop, runs[-1].prefix)
            path = (*prefix[:-1], (prefix[-1][0], stop))
        else:
            if stop > start:
                runs.append(Run(start, stop, prefix))
            path = (*prefix, (start, stop)) if stop > start else prefix
        paths.append(path)
        previous = sequence
    return Row(ids, tuple(runs), paths)


def plan_rows(sequences: Sequence[Sequence[int]], budget: int, least_shared: int = LEAST_SHARED) -> list[list[int]]:
    """The indices of the sequences in each row, in lexicographic order of the sequences.

    A row has at most `budget` tokens, shared ones counted once, unless a single sequence is longer. It ends where this
    costs least: tokens shared with the next row are computed twice, and short rows are less efficient. The responses
    to a prompt therefore stay together if they fit.
    """
    order = sorted(range(len(sequences)), key=lambda index: tuple(sequences[index]))
    shared = [0] * len(order)
    for place in range(1, len(order)):
        length = shared_length(sequences[order[place - 1]], sequences[order[place]])
        shared[place] = length if length >= least_shared else 0
    rows: list[list[int]] = []
    first = 0
    while first < len(order):
        tokens = len(sequences[order[first]])
        last, cheapest, cost = first + 1, first + 1, float("inf")
        while last < len(order):
            if (shared[last] + _ROW_OVERHEAD) / tokens <= cost:
                cheapest, cost = last, (shared[last] + _ROW_OVERHEAD) / tokens
            tokens += len(sequences[order[last]]) - shared[last]
            if tokens > budget:
                break
            last += 1
        else:
            cheapest = last
        rows.append(order[first:cheapest])
        first = cheapest
    return rows


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix of two sequences, in tokens."""
    return next(
        (place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right),
        min(len(one), len(other)),
    )


def _first(path: tuple[tuple[int, int], ...], length: int) -> tuple[tuple[int, int], ...]:
    kept = []
    for start, stop in path:
        if length <= 0:
            break
        kept.append((start, min(stop, start + length)))
        length -= stop - start
    return tuple(kept)
