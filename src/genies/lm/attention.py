"""Attention over a packed row: every token sees only the path of its own sequence.

The attention function takes the row from a context:

    with attending(row):
        model(input_ids, position_ids=positions)

The networks of genies.lm.own_network call it themselves. For those of transformers, `register` gives it a name there.

On a CPU, attention is computed for each run separately, over its prefix and itself, so no time is spent on pairs of
tokens that do not see each other. On a GPU, few large calls are faster than many small ones: one call with a boolean
mask for a short row, and one call for each group of similar runs for a long one. Attention with terms of its own
(Terms) is computed for each run on every device, because a mask of the whole row per head would be large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import dropout, pad, scaled_dot_product_attention

from genies.lm.packing import Row
from genies.lm.run_groups import Groups, group_runs

NAME = "genies_rows"
"""Name of the attention implementation in transformers."""


DEVICES_BY_RUN = frozenset({"cpu"})
"""Device types on which attention is computed for each run separately."""

WHOLE_ROW_TOKENS = 1024
"""On other devices, a row of at most this many tokens is computed in one call, whose mask is quadratic in them."""


class UnsupportedAttention(Exception):
    """The model's attention uses a feature that packed rows do not support; the message names it."""


@dataclass(frozen=True)
class Terms:
    """What some families add to attention scores, which are products of queries and keys times the scale."""

    softcap: float | None = None
    """Scores become softcap * tanh(scores / softcap), as in Gemma 2."""
    key_bias: Tensor | None = None
    """Added to the scores of each key [heads, tokens of the row], as in ALiBi."""
    sinks: Tensor | None = None
    """Scores [heads] of one more key that every token sees and whose value is 0, as in gpt-oss."""


class KeysBefore(Protocol):
    """Keys and values that precede those of a row."""

    def join(self, module: torch.nn.Module, key: Tensor, value: Tensor, masks: Masks) -> tuple[Tensor, Tensor, Masks]:
        """Keys, values and masks of the preceding tokens and the row."""


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

    @cached_property
    def pieces(self) -> tuple[list[int], list[list[int]]]:
        """Lengths of the pieces of the row, cut where a stretch begins or ends, and for each run those that it sees."""
        seen = [(*run.prefix, (run.start, run.stop)) for run in self.row.runs]
        cuts = sorted({cut for stretches in seen for stretch in stretches for cut in stretch})
        at = {cut: place for place, cut in enumerate(cuts)}
        lengths = [stop - start for start, stop in pairwise(cuts)]
        return lengths, [
            [each for start, stop in stretches for each in range(at[start], at[stop])] for stretches in seen
        ]

    def whole(self, window: int | None, device: torch.device) -> Tensor:
        """Boolean mask [tokens, tokens] of the row."""
        window = None if window is None or window >= self.row.longest else window
        # One mask per device: with device_map, the blocks of a model are on several devices.
        if (window, device) not in self._made:
            self._made[window, device] = self.row.mask(window).to(device)
        mask = self._made[window, device]
        assert mask is not None
        return mask

    def key_bias(self, alibi: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """The biases [heads, tokens] of the row's keys; `alibi` gives those [heads, length] of one plain sequence."""
        key = (alibi, like.device, like.dtype)
        if key not in self._made:
            self._made[key] = alibi(self.row.longest).to(like)[:, self.row.positions]
        bias = self._made[key]
        assert bias is not None
        return bias

    def of_run(self, place: int, window: int | None, like: Tensor, whole: bool = False) -> Tensor | None:
        """Mask [run, prefix + run], 0 if seen, else -inf; None if attention without a mask gives the same.

        whole: attention without a mask sees all tokens; otherwise it is causal where there is no prefix.
        """
        run = self.row.runs[place]
        prefix, length = run.position, run.stop - run.start
        if window is not None and window >= prefix + length:
            window = None
        if window is None and (length == 1 or (prefix == 0 and not whole)):
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
_before: ContextVar[KeysBefore | None] = ContextVar("keys before", default=None)


@contextmanager
def attending(row: Row) -> Iterator[Masks]:
    """Within the context, a model with this attention treats its single row of tokens as `row`."""
    masks = Masks(row)
    token = _current.set(masks)
    try:
        yield masks
    finally:
        _current.reset(token)


@contextmanager
def attending_after(before: KeysBefore) -> Iterator[None]:
    """Within the context, rows also see the keys and values of `before`."""
    token = _before.set(before)
    try:
        yield
    finally:
        _before.reset(token)


def register() -> None:
    """Make `attend` an attention implementation of transformers, with NAME."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def is_attending() -> bool:
    """Whether the surrounding context is that of `attending`."""
    return _current.get() is not None


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    alibi: Callable[[int], Tensor] | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: maps query [1, heads, tokens, width] to [1, tokens, heads, width].

    softcap, s_aux: as transformers passes them; see Terms.
    alibi: the biases [heads, length] of the keys of one plain sequence of a length.

    Raises UnsupportedAttention outside of `attending` and for other extras that change the result (position biases).
    """
    masks = _current.get()
    if masks is None:
        raise UnsupportedAttention("called outside of attending(row)")
    for name in ("sinks", "position_bias"):
        if others.get(name) is not None:
            raise UnsupportedAttention(f"its attention uses {name}")
    if sliding_window is not None:
        masks.windows.add(sliding_window)
    if (before := _before.get()) is not None:
        key, value, masks = before.join(module, key, value, masks)
    terms = None
    if softcap is not None or s_aux is not None or alibi is not None:
        terms = Terms(softcap, None if alibi is None else masks.key_bias(alibi, query), s_aux)
    return attend_row(query, key, value, masks, sliding_window, {"dropout_p": dropout, "scale": scaling}, terms), None


def attend_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    sliding_window: int | None,
    options: dict[str, Any],
    terms: Terms | None = None,
) -> Tensor:
    """Attention [1, tokens, heads, width] of the queries to the whole row.

    Keys and values [1, heads, tokens, width] are of the whole row. `query` may be of its last tokens only, if these
    begin with a run. `options` are passed to scaled_dot_product_attention.
    """
    first = key.shape[2] - query.shape[2]
    grouped = query.shape[1] // key.shape[1]
    if terms is not None or query.device.type in DEVICES_BY_RUN:
        return _attend_by_run(query, key, value, masks, sliding_window, {**options, "enable_gqa": grouped > 1}, terms)
    if grouped > 1:
        # Kernels that support both a mask and grouped keys are slow: repeat the keys, as transformers does.
        key, value = (part.repeat_interleave(grouped, dim=1) for part in (key, value))
    if len(masks.row.ids) > WHOLE_ROW_TOKENS:
        return masks.groups(sliding_window, query.device, first).attend(query, key, value, options)
    mask = masks.whole(sliding_window, query.device)[first:]
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, **options).transpose(1, 2)


def _attend_by_run(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    sliding_window: int | None,
    options: dict[str, Any],
    terms: Terms | None,
) -> Tensor:
    first = key.shape[2] - query.shape[2]
    lengths, seen = masks.pieces
    # One split of each tensor: the gradient of a slice would be as long as the row, once for every run.
    keys, values = key.split(lengths, dim=2), value.split(lengths, dim=2)
    biases = terms.key_bias.split(lengths, dim=1) if terms is not None and terms.key_bias is not None else None
    places = [place for place, run in enumerate(masks.row.runs) if run.start >= first]
    queries = query.split([masks.row.runs[place].stop - masks.row.runs[place].start for place in places], dim=2)
    found = []
    for place, own in zip(places, queries, strict=True):
        mask = masks.of_run(place, sliding_window, query, whole=terms is not None)
        key, value = _joined(keys, seen[place], 2), _joined(values, seen[place], 2)
        if terms is not None:
            bias = None if biases is None else _joined(biases, seen[place], 1)
            found.append(_attend_with_terms(own, key, value, mask, options, terms, bias))
        else:
            causal = mask is None and not masks.row.runs[place].prefix
            found.append(scaled_dot_product_attention(own, key, value, attn_mask=mask, is_causal=causal, **options))
    return torch.cat(found, dim=2).transpose(1, 2)


def _joined(pieces: Sequence[Tensor], chosen: Sequence[int], dim: int) -> Tensor:
    return pieces[chosen[0]] if len(chosen) == 1 else torch.cat([pieces[each] for each in chosen], dim=dim)


def _attend_with_terms(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
    terms: Terms,
    bias: Tensor | None,
) -> Tensor:
    """Attention of one run; `bias` [heads, keys] is that of the keys it sees."""
    if bias is not None:
        mask = bias[:, None] if mask is None else bias[:, None] + mask
    if terms.sinks is not None:
        sinks = terms.sinks.to(query).reshape(-1, 1, 1).expand(-1, query.shape[2], 1)
        if mask is None:
            mask = query.new_zeros(query.shape[2], key.shape[2])
        mask = torch.cat([mask.expand(query.shape[1], -1, -1), sinks], dim=2)
        key, value = (pad(part, (0, 0, 0, 1)) for part in (key, value))
    if terms.softcap is not None:
        return _attend_capped(query, key, value, mask, options, terms.softcap)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, **options)


def _attend_capped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: dict[str, Any], softcap: float
) -> Tensor:
    """Attention with capped scores, which scaled_dot_product_attention does not support."""
    scale = query.shape[3] ** -0.5 if options["scale"] is None else options["scale"]
    grouped = query.shape[1] // key.shape[1]
    # The queries that share a key are rows of one product.
    rows = (query * (scale / softcap)).reshape(1, key.shape[1], -1, query.shape[3])
    scores = (rows @ key.transpose(2, 3)).tanh_().reshape(1, query.shape[1], query.shape[2], -1)
    scores = scores * softcap if mask is None else torch.add(mask, scores, alpha=softcap)
    weights = dropout(scores.softmax(-1, dtype=torch.float32).to(value), options["dropout_p"])
    mixed: Tensor = weights.reshape(1, key.shape[1], grouped * query.shape[2], -1) @ value
    return mixed.reshape(query.shape)
