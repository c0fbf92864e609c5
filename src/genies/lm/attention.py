"""Attention over a packed row: every token sees only the path of its own sequence.

The attention function is registered with transformers under its own name and takes the row from a context:

    with attending(row):
        model(input_ids, position_ids=positions)

On a CPU, attention is computed for each run separately, over its prefix and itself, so no time is spent on pairs of
tokens that do not see each other. On a GPU, few large calls are faster than many small ones: one call with a boolean
mask for a short row, and one call for each group of similar runs for a long one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from genies.lm.packing import Row, Run
from genies.lm.run_groups import Groups, group_runs

NAME = "genies_rows"
"""Name of the attention implementation in transformers."""


DEVICES_BY_RUN = frozenset({"cpu"})
"""Device types on which attention is computed for each run separately."""

WHOLE_ROW_TOKENS = 1024
"""On other devices, a row of at most this many tokens is computed in one call, whose mask is quadratic in them."""


class UnsupportedAttention(Exception):
    """The model's attention uses a feature that packed rows do not support; the message names it."""


class Masks:
    """Masks of one row, built once and used in every block."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.windows: set[int] = set()
        """The sliding windows that calls of attention have requested."""
        self._made: dict[Any, Tensor | None] = {}
        self._groups: dict[Any, Groups] = {}

    def groups(self, window: int | None, device: torch.device, first: int) -> Groups:
        """The runs from token `first` of the row, in groups of similar length."""
        window = None if window is None or window >= self.row.longest else window
        if (window, device, first) not in self._groups:
            self._groups[window, device, first] = group_runs(self.row, window, device, first)
        return self._groups[window, device, first]

    def whole(self, window: int | None, device: torch.device) -> Tensor:
        """Boolean mask [tokens, tokens] of the row."""
        window = None if window is None or window >= self.row.longest else window
        # One mask per device: with device_map, the blocks of a model are on several devices.
        if (window, device) not in self._made:
            self._made[window, device] = self.row.mask(window).to(device)
        mask = self._made[window, device]
        assert mask is not None
        return mask

    def of_run(self, place: int, window: int | None, like: Tensor) -> Tensor | None:
        """Mask [run, prefix + run], 0 if seen, else -inf; None if causal attention without a mask gives the same."""
        run = self.row.runs[place]
        prefix, length = run.position, run.stop - run.start
        if window is not None and window >= prefix + length:
            window = None
        if window is None and (prefix == 0 or length == 1):
            return None
        key = (place, window, like.device)
        if key not in self._made:
            rows = torch.arange(prefix, prefix + length)[:, None]
            columns = torch.arange(prefix + length)[None, :]
            hidden = columns > rows
            if window is not None:
                hidden |= columns <= rows - window
            mask = torch.zeros(length, prefix + length, dtype=like.dtype)
            self._made[key] = mask.masked_fill_(hidden, float("-inf")).to(like.device)
        return self._made[key]


_current: ContextVar[Masks | None] = ContextVar("row", default=None)


@contextmanager
def attending(row: Row) -> Iterator[Masks]:
    """Within the context, a model with this attention treats its single row of tokens as `row`."""
    masks = Masks(row)
    token = _current.set(masks)
    try:
        yield masks
    finally:
        _current.reset(token)


def attended() -> Masks:
    """Masks of the row of the surrounding `attending`; UnsupportedAttention outside of it."""
    masks = _current.get()
    if masks is None:
        raise UnsupportedAttention("called outside of attending(row)")
    return masks


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: maps query [1, heads, tokens, width] to [1, tokens, heads, width].

    Raises UnsupportedAttention for extras that change the result (soft capping, sinks, position biases).
    """
    masks = attended()
    for name in ("softcap", "s_aux", "sinks", "position_bias"):
        if others.get(name) is not None:
            raise UnsupportedAttention(f"its attention uses {name}")
    if sliding_window is not None:
        masks.windows.add(sliding_window)
    return attend_row(query, key, value, masks, sliding_window, {"dropout_p": dropout, "scale": scaling}), None


def attend_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    sliding_window: int | None,
    options: dict[str, Any],
    first: int = 0,
) -> Tensor:
    """Attention [1, tokens, heads, width] of the row's tokens from index `first` to the whole row.

    `query` contains only the tokens from `first`, where a run begins; keys and values [1, heads, tokens, width] are of
    the whole row. `options` are passed to scaled_dot_product_attention.
    """
    grouped = query.shape[1] // key.shape[1]
    if query.device.type in DEVICES_BY_RUN:
        pieces = []
        for place, run in enumerate(masks.row.runs):
            if run.start >= first:
                own = query[:, :, run.start - first : run.stop - first]
                mask = masks.of_run(place, sliding_window, query)
                pieces.append(_attend_run(own, key, value, run, mask, {**options, "enable_gqa": grouped > 1}))
        return torch.cat(pieces, dim=2).transpose(1, 2)
    if grouped > 1:
        # Kernels that support both a mask and grouped keys are slow: repeat the keys, as transformers does.
        key, value = (part.repeat_interleave(grouped, dim=1) for part in (key, value))
    if len(masks.row.ids) > WHOLE_ROW_TOKENS:
        return masks.groups(sliding_window, query.device, first).attend(query, key, value, options)
    mask = masks.whole(sliding_window, query.device)[first:]
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, **options).transpose(1, 2)


def _attend_run(
    query: Tensor, key: Tensor, value: Tensor, run: Run, mask: Tensor | None, options: dict[str, Any]
) -> Tensor:
    """Attention of one run's queries to its prefix and itself."""
    stretches = [slice(start, stop) for start, stop in (*run.prefix, (run.start, run.stop))]
    if len(stretches) > 1:
        key, value = (torch.cat([part[:, :, each] for each in stretches], dim=2) for part in (key, value))
    else:
        key, value = (part[:, :, stretches[0]] for part in (key, value))
    causal = mask is None and not run.prefix
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, **options)


AttentionInterface.register(NAME, attend)
