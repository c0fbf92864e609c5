"""Attention over a packed row in a few calls: runs of similar length are padded to one size.

On a GPU, a call for every run is slow, and a mask of the whole row has [tokens, tokens] values, most of them False.
Here the memory and the time grow with the number of pairs of tokens that see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from genies.lm.packing import Row, Run

MOST_PADDING = 2.0
"""A group has at most this many times the pairs of tokens that its runs have without padding."""


@dataclass(frozen=True)
class Group:
    """Runs that one call of attention computes."""

    queries: Tensor
    """Index [runs * longest run] of each query's token, among the computed ones; 0 for padding."""
    keys: Tensor
    """Index [runs * longest path] of each key's token in the row; 0 for padding."""
    mask: Tensor
    """Boolean mask [runs, 1, longest run, longest path]."""


@dataclass(frozen=True)
class Groups:
    """All runs of a row, in groups."""

    groups: list[Group]
    places: Tensor
    """Index [tokens] of each computed token in the groups' flattened results."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]) -> Tensor:
        """Attention [1, tokens, heads, width] of queries [1, heads, tokens, width] to the row.

        `key` and `value` [1, heads, tokens of the row, width] have as many heads as `query`. `options` are passed to
        scaled_dot_product_attention.
        """
        heads, width = query.shape[1], value.shape[3]
        found = []
        for group in self.groups:
            runs = group.mask.shape[0]
            queries, keys, values = (
                part[0].index_select(1, index).unflatten(1, (runs, -1)).transpose(0, 1)
                for part, index in ((query, group.queries), (key, group.keys), (value, group.keys))
            )
            result = scaled_dot_product_attention(queries, keys, values, attn_mask=group.mask, **options)
            found.append(result.transpose(1, 2).reshape(-1, heads, width))
        return torch.cat(found).index_select(0, self.places)[None]


def group_runs(row: Row, window: int | None, device: torch.device, first: int = 0) -> Groups:
    """The groups of the runs that begin at token `first` of the row or later.

    window: number of nearest tokens that a token sees, itself included (default: all before it).
    """
    runs = [run for run in row.runs if run.start >= first]
    groups, places, done = [], torch.empty(len(row.ids) - first, dtype=torch.long), 0
    for members in _similar(runs):
        group = _pad(members, window, first)
        longest = group.mask.shape[2]
        for line, run in enumerate(members):
            length = run.stop - run.start
            places[run.start - first : run.stop - first] = torch.arange(length) + done + line * longest
        done += len(members) * longest
        groups.append(Group(*(part.to(device) for part in (group.queries, group.keys, group.mask))))
    return Groups(groups, places.to(device))


def _similar(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups of similar size.

    >>> [len(group) for group in _similar([Run(0, 8, ()), Run(8, 17, ()), Run(17, 417, ())])]
    [2, 1]
    """
    groups: list[list[Run]] = []
    useful = longest = widest = 0
    for run in sorted(runs, key=lambda run: (_area(run), run.start)):
        length, path = run.stop - run.start, run.position + run.stop - run.start
        if groups:
            own = max(longest, length)
            padded = (len(groups[-1]) + 1) * own * max(widest, path)
            if padded <= MOST_PADDING * (useful + _area(run)):
                groups[-1].append(run)
                useful, longest, widest = useful + _area(run), own, max(widest, path)
                continue
        groups.append([run])
        useful, longest, widest = _area(run), length, path
    return groups


def _area(run: Run) -> int:
    length = run.stop - run.start
    return length * (run.position + length)


def _pad(runs: Sequence[Run], window: int | None, first: int) -> Group:
    length = max(run.stop - run.start for run in runs)
    path = max(run.position + run.stop - run.start for run in runs)
    queries, keys = torch.zeros(len(runs), length, dtype=torch.long), torch.zeros(len(runs), path, dtype=torch.long)
    mask = torch.zeros(len(runs), 1, length, path, dtype=torch.bool)
    for line, run in enumerate(runs):
        own, before = run.stop - run.start, run.position
        queries[line, :own] = torch.arange(run.start, run.stop) - first
        seen = [torch.arange(start, stop) for start, stop in (*run.prefix, (run.start, run.stop))]
        keys[line, : before + own] = torch.cat(seen)
        distance = torch.arange(before, before + own)[:, None] - torch.arange(before + own)
        visible = distance >= 0
        mask[line, 0, :own, : before + own] = visible if window is None else visible & (distance < window)
        mask[line, 0, own:, 0] = True  # a query that sees nothing has no result, not even one to be ignored
    return Group(queries.flatten(), keys.flatten(), mask)
