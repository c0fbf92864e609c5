"""Build batches from training pairs: each pair is a separate tree in a packed row, or two padded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from genies.lm.forward import Batch
from genies.lm.packing import Row, Run, pack
from genies.lm.text import TokenSequence
from genies.methods.training.pairs import TrainingPair


@dataclass(frozen=True, slots=True)
class Stretch:
    """Contiguous tokens of one pair in the flattened batch."""

    slot: int
    """Index of the pair in its step."""
    branch: int
    """1 for the worse response if it has its own row, else 0."""
    start: int
    stop: int


@dataclass(frozen=True)
class MicroBatch:
    """Several pairs of a step, or one sequence of a pair, in one forward pass."""

    sequences: list[TokenSequence]
    """The best and the worse response of each pair, or only one of them, in the order of the batch's `places`."""
    batch: Batch
    stretches: list[Stretch]
    """The position of each pair's tokens."""

    @property
    def last_tokens(self) -> torch.Tensor:
        """Index in the flattened batch of each sequence's last token [2 * pairs].

        It is on the CPU, because it indexes hidden states, which may be on another device than the ids.
        """
        return torch.tensor([places[-1] for places in self.batch.places])


def make_micro_batches(
    pairs: Sequence[TrainingPair],
    slots: list[int],
    device: torch.device,
    packed: bool,
    virtual_ids: tuple[int, ...],
    apart: bool = False,
) -> list[MicroBatch]:
    """The forward passes for `pairs`: one, or with `apart` one for each sequence.

    `slots` are the indices of the pairs in their step. `virtual_ids` are put before every sequence. Two pairs share no
    tokens, so that the result of a pair does not depend on the other pairs.
    """
    sequences = [sequence for pair in pairs for sequence in (pair.best, pair.worse)]
    if apart:
        return [
            _padded([sequence], [slots[place // 2]], [place % 2], device, virtual_ids, as_row=packed)
            for place, sequence in enumerate(sequences)
        ]
    if packed:
        return [_packed(sequences, slots, device, virtual_ids)]
    of_line = [slot for slot in slots for _ in range(2)]
    return [_padded(sequences, of_line, [0, 1] * len(slots), device, virtual_ids)]


def _packed(
    sequences: list[TokenSequence], slots: list[int], device: torch.device, virtual_ids: tuple[int, ...]
) -> MicroBatch:
    """One row with a separate tree for each pair."""
    ids = [[*virtual_ids, *sequence.ids] for sequence in sequences]
    trees = [pack(ids[2 * place : 2 * place + 2]) for place in range(len(slots))]
    row = side_by_side(trees)
    starts = [sum(len(tree.ids) for tree in trees[:place]) for place in range(len(trees) + 1)]
    stretches = [Stretch(slot, 0, starts[place], starts[place + 1]) for place, slot in enumerate(slots)]
    members = list(range(len(ids)))
    batch = Batch(members, torch.tensor([row.ids], device=device), [row.indices(place) for place in members], row)
    return MicroBatch(sequences, batch, stretches)


def _padded(
    sequences: list[TokenSequence],
    slots: list[int],
    branches: list[int],
    device: torch.device,
    virtual_ids: tuple[int, ...],
    as_row: bool = False,
) -> MicroBatch:
    """One row per sequence; `as_row` is for a single sequence and a network that expects packed rows."""
    ids = [[*virtual_ids, *sequence.ids] for sequence in sequences]
    width = max(map(len, ids))
    padded = torch.tensor([line + [0] * (width - len(line)) for line in ids], device=device)
    places = [[line * width + step for step in range(len(ids[line]))] for line in range(len(ids))]
    stretches = [
        Stretch(slot, branch, where[0], where[-1] + 1)
        for slot, branch, where in zip(slots, branches, places, strict=True)
    ]
    batch = Batch(list(range(len(ids))), padded, places, pack(ids) if as_row else None)
    return MicroBatch(sequences, batch, stretches)


def side_by_side(rows: Sequence[Row]) -> Row:
    """Concatenate rows into one; tokens of different rows do not see each other.

    >>> joined = side_by_side([pack([[1, 2], [1, 3]], least_shared=1), pack([[1, 4]])])
    >>> joined.ids, joined.positions, joined.paths
    ([1, 2, 3, 1, 4], [0, 1, 1, 0, 1], [((0, 2),), ((0, 1), (2, 3)), ((3, 5),)])
    """
    ids: list[int] = []
    runs: list[Run] = []
    paths: list[tuple[tuple[int, int], ...]] = []
    for row in rows:
        moved = len(ids)
        ids += row.ids
        runs += [Run(run.start + moved, run.stop + moved, _moved(run.prefix, moved)) for run in row.runs]
        paths += [_moved(path, moved) for path in row.paths]
    return Row(ids, tuple(runs), paths)


def _moved(stretches: tuple[tuple[int, int], ...], by: int) -> tuple[tuple[int, int], ...]:
    return tuple((start + by, stop + by) for start, stop in stretches)
