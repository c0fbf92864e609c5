"""Compute a beginning that sequences share once, for models that support padded batches but not packed rows.

The cache of transformers after the beginning (keys and values, states of linear attention and of state-space layers) is
repeated for every sequence, and the rest of the sequences continues from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genies.lm.packing import shared_length

LEAST_CONTINUED = {"cpu": 32, "cuda": 1024}
"""Shared beginnings of fewer tokens are computed again, because a forward pass of their own would cost more."""


def continued_states(decoder: Any, beginning: Tensor, rest: Tensor, lengths: Sequence[int]) -> Tensor:
    """Last hidden states [beginning + sequences * rest, width], those of the rests after that of the beginning.

    beginning: token ids [1, beginning]; rest: those of each sequence [sequences, rest], padded on the right; lengths:
    the number of tokens of each rest.
    """
    first = decoder(beginning, use_cache=True)
    cache = first.past_key_values
    cache.reorder_cache(torch.zeros(len(rest), dtype=torch.long, device=rest.device))
    places = torch.arange(beginning.shape[1] + rest.shape[1])
    mask = (places < beginning.shape[1] + torch.tensor(lengths)[:, None]).long()
    given = None if bool(mask.all()) else mask.to(rest.device)
    second = decoder(rest, past_key_values=cache, attention_mask=given, use_cache=True)
    return torch.cat([first.last_hidden_state[0], second.last_hidden_state.flatten(0, 1)])


def shared_beginning(sequences: Sequence[Sequence[int]], least: int) -> int:
    """Number of tokens to compute once: of the beginning that all share, without the last token of any; 0 if there are
    fewer than `least`.

    >>> shared_beginning([[5] * 40, [5] * 40 + [6]], least=32)
    39
    >>> shared_beginning([[5] * 40], least=32)
    0
    """
    if len(sequences) < 2:
        return 0
    length = min(shared_length(sequences[0], each) for each in sequences)
    length = min(length, min(map(len, sequences)) - 1)
    return length if length >= least else 0


def plan_continued(sequences: Sequence[Sequence[int]], budget: int, least: int) -> list[list[int]]:
    """The indices of the sequences in each forward pass that continues from one beginning.

    A sequence joins those before it, in lexicographic order, if this adds fewer tokens than it has. A pass has at most
    `budget` tokens, with its beginning and padding. A sequence that shares no beginning is alone.

    >>> plan_continued([[1] * 40 + [2], [3] * 40, [1] * 40 + [4]], budget=100, least=32)
    [[0, 2], [1]]
    """
    groups: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(sequences)), key=lambda index: tuple(sequences[index])):
        if groups:
            joined = [sequences[each] for each in (*groups[-1], index)]
            shared = shared_beginning(joined, least)
            together = shared + len(joined) * (max(map(len, joined)) - shared)
            if shared and together <= budget and together - tokens < len(sequences[index]):
                groups[-1].append(index)
                tokens = together
                continue
        groups.append([index])
        tokens = len(sequences[index])
    return groups
