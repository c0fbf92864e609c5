"""Encode the pairs of a distribution as token sequences, each response once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.chat import RenderingError
from genies.lm.text import TokenSequence, encode
from genies.lm.text_format import RAW, TextFormat


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs whose texts fit into the model's context."""

    pairs: list[Pair]
    best: list[TokenSequence]
    worse: list[TokenSequence]
    left_out: tuple[int, ...]
    """Indices, ascending, of the examples left out because one of their texts does not fit or is empty."""


def encode_pairs(
    tokenizer: Any, context_length: int | None, pairs: Sequence[Pair], source: Path, text_format: TextFormat = RAW
) -> EncodedPairs:
    """Token sequences of pairs in a format; `source` is their distribution in messages.

    An example with a text of more than `context_length` tokens, or without any text, is left out with all of its pairs
    and reported on standard error. Raises InputError if none remains.
    """
    formatted = text_format.pairs(pairs)
    indices = {(pair.prompt, text): pair.example_index for pair in formatted for text in (pair.best, pair.worse)}
    texts = list(indices)
    try:
        sequences = dict(zip(texts, encode(tokenizer, texts, text_format.template_kwargs), strict=True))
    except RenderingError as error:
        raise InputError(f"{source}, example {indices[texts[error.place]]}: {error}") from None

    def unusable(pair: Pair, text: str) -> str | None:
        sequence = sequences[pair.prompt, text]
        if len(sequence.ids) < 2:
            return "neither prompt nor response text"
        if not sequence.response:
            return "an empty response, and the chat template writes no end of turn"
        return too_long(len(sequence.ids), context_length)

    kept, out = fitting(formatted, unusable, source)
    return EncodedPairs(
        [pair for pair in pairs if pair.example_index not in out],
        [sequences[pair.prompt, pair.best] for pair in kept],
        [sequences[pair.prompt, pair.worse] for pair in kept],
        out,
    )


def too_long(tokens: int, context_length: int | None) -> str | None:
    """Why a text of so many tokens cannot be used; None if it can."""
    if context_length is None or tokens <= context_length:
        return None
    return f"{tokens} tokens, but the model's limit is {context_length}"


def fitting(
    pairs: Sequence[Pair], unusable: Callable[[Pair, str], str | None], source: Path
) -> tuple[list[Pair], tuple[int, ...]]:
    """The pairs of examples all of whose texts can be used, and the indices, ascending, of the other examples.

    unusable: what is wrong with a response of a pair, None for nothing; it is reported on standard error. Raises
    InputError if no pair remains.
    """
    out: dict[int, str] = {}
    for pair in pairs:
        for text in (pair.best, pair.worse):
            if reason := unusable(pair, text):
                out.setdefault(pair.example_index, reason)
    for index, reason in out.items():
        print(f"{source}: example {index} is left out: it has {reason}", file=sys.stderr)
    kept = [pair for pair in pairs if pair.example_index not in out]
    if not kept:
        raise InputError(
            f"{source}: no example is left: {len(out)} of {len(out)} do not fit into the model's context; use shorter "
            "examples or a model with a longer context"
        )
    return kept, tuple(sorted(out))


class EachOnce:
    """A function of token sequences that computes each sequence once and caches the result in memory."""

    def __init__(self, compute: Callable[[list[TokenSequence]], NDArray[Any]]) -> None:
        """`compute` returns an array whose first axis is that of the sequences."""
        self._compute = compute
        self._known: dict[TokenSequence, NDArray[Any]] = {}

    def learn(self, sequences: Sequence[TokenSequence]) -> None:
        """Compute the sequences that are not cached, in one call."""
        new = [sequence for sequence in dict.fromkeys(sequences) if sequence not in self._known]
        if new:
            self._known.update(zip(new, self._compute(new), strict=True))

    def __call__(self, sequences: Sequence[TokenSequence]) -> NDArray[Any]:
        """Values [sequences, ...] in the order of `sequences`."""
        self.learn(sequences)
        return np.stack([self._known[sequence] for sequence in sequences])
