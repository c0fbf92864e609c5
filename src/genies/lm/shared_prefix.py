"""Compute a prefix that all sequences share once; later rows attend to its keys and values.

Rows contain only the tokens after the prefix, so each row pays for attention to the prefix but does not compute it
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.lm import attention, scoring
from genies.lm.capability import is_out_of_memory
from genies.lm.forward import rope_edge
from genies.lm.model import LanguageModel
from genies.lm.packing import LEAST_SHARED, Row, Run, pack, shared_length
from genies.lm.text import TokenSequence


def response_log_probabilities(
    model: LanguageModel, sequences: Sequence[TokenSequence], batch_tokens: int | None = None, label: str = "scoring"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """genies.lm.scoring.response_log_probabilities, with the prefix that all sequences share computed once."""
    # The token before the first response token predicts it, so it is never part of the prefix.
    most = min((each.response[0] - 1 for each in sequences), default=0)
    with beginning_once(model, [each.ids for each in sequences], most) as length:
        rest = [
            TokenSequence(
                each.ids[length:], tuple(place - length for place in each.response), each.last_response - length
            )
            for each in sequences
        ]
        return scoring.response_log_probabilities(model, rest if length else sequences, batch_tokens, label)


@contextmanager
def beginning_once(
    model: LanguageModel, sequences: Sequence[Sequence[int]], most: int, least: int = LEAST_SHARED
) -> Iterator[int]:
    """Within the context, the model takes the sequences without the prefix that all of them share.

    Yields the length of the prefix, at most `most`; 0 if it is shorter than `least` or does not fit into memory.
    """
    length = 0
    edge = rope_edge(model)
    if model.packs and len(sequences) > 1 and (edge is None or max(map(len, sequences)) <= edge):
        length = min(most, *(shared_length(sequences[0], each) for each in sequences))
    prefix = Prefix(sequences[0][:length]) if length >= least else None
    if prefix is None or not prefix.compute(model):
        yield 0
    else:
        with prefix.before(model):
            yield length


class Prefix:
    """Token ids that precede all sequences, with the keys and values of each attention module."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self.stored: dict[torch.nn.Module, tuple[Tensor, Tensor]] = {}
        """Keys and values [1, heads, len(ids), width]."""
        self._row: Row | None = None
        self._masks: attention.Masks | None = None

    def compute(self, model: LanguageModel) -> bool:
        """Fill `stored` with one forward pass; False if it runs out of memory."""
        row = pack([self.ids])
        ids = torch.tensor([row.ids], device=model.device)
        try:
            with torch.inference_mode(), attention.attending_after(self), attention.attending(row):
                model.decoder(ids, position_ids=torch.tensor([row.positions], device=model.device), use_cache=False)
        except Exception as error:
            if is_out_of_memory(error):
                return False
            raise
        return True

    @contextmanager
    def before(self, model: LanguageModel) -> Iterator[None]:
        """Within the context, the model treats its rows as the continuation of the prefix."""

        def move(_module: Any, positional: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            # A network whose attention alone knows positions (ALiBi) does not pass them on to its decoder.
            if "position_ids" not in named:
                return positional, named
            return positional, {**named, "position_ids": named["position_ids"] + len(self.ids)}

        hook = model.decoder.register_forward_pre_hook(move, with_kwargs=True)
        try:
            with attention.attending_after(self):
                yield
        finally:
            hook.remove()

    def join(
        self, module: torch.nn.Module, key: Tensor, value: Tensor, masks: attention.Masks
    ) -> tuple[Tensor, Tensor, attention.Masks]:
        """Keys, values and masks of the prefix and the row; the first call of a module is for the prefix itself."""
        if module not in self.stored:
            self.stored[module] = key, value
            return key, value, masks
        key, value = (torch.cat(parts, dim=2) for parts in zip(self.stored[module], (key, value), strict=True))
        if self._masks is None or self._row is not masks.row:
            # All runs of the row see its first run, which is the prefix.
            self._row, self._masks = masks.row, attention.Masks(after(self.ids, masks.row))
        return key, value, self._masks


def after(prefix: list[int], row: Row) -> Row:
    """The row with a prefix before every sequence.

    >>> after([7, 8], pack([[1, 2], [1, 3]], least_shared=1)).runs[1:]
    (Run(start=2, stop=4, prefix=((0, 2),)), Run(start=4, stop=5, prefix=((0, 2), (2, 3))))
    """
    length = len(prefix)

    def moved(stretches: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return ((0, length), *((start + length, stop + length) for start, stop in stretches))

    runs = [Run(run.start + length, run.stop + length, moved(run.prefix)) for run in row.runs]
    return Row([*prefix, *row.ids], (Run(0, length, ()), *runs), [moved(path) for path in row.paths])
