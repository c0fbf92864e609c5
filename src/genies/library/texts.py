"""Pairs as token sequences for a model in memory: every text is used, or the call is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.text import TokenSequence, encode

_SHOWN = 5


@dataclass(frozen=True)
class EncodedTexts:
    """The different texts of some pairs, and which of them each pair has."""

    sequences: list[TokenSequence]
    best: list[int]
    """For each pair the index of its best response in `sequences`."""
    worse: list[int]


def encode_texts(tokenizer: Any, most: int | None, pairs: Sequence[Pair], prompt_format: str) -> EncodedTexts:
    """The token sequences of pairs, each text once.

    Raises InputError that lists the pairs with a text of more than `most` tokens or of none, for no pairs, and for
    another format of prompts than raw.
    """
    if prompt_format != "raw":
        raise InputError(
            f"prompt_format: expected 'raw' (prompt and response as they are, one after the other), got "
            f"{prompt_format!r}; render a chat template yourself and put the text into the prompt"
        )
    pairs = list(pairs)
    if not pairs:
        raise InputError("pairs: expected at least one, got none")
    if wrong := next((each for each in pairs if not isinstance(each, Pair)), None):
        raise InputError(f"pairs: expected genies.Pair, as genies.pairs makes them, got {type(wrong).__name__}")
    texts = list(dict.fromkeys((pair.prompt, text) for pair in pairs for text in (pair.best, pair.worse)))
    sequences = encode(tokenizer, texts)
    places = {text: place for place, text in enumerate(texts)}
    best = [places[pair.prompt, pair.best] for pair in pairs]
    worse = [places[pair.prompt, pair.worse] for pair in pairs]
    unusable = {
        place
        for place, sequence in enumerate(sequences)
        if len(sequence.ids) < 2 or (most is not None and len(sequence.ids) > most)
    }
    refused = [index for index, both in enumerate(zip(best, worse, strict=True)) if not unusable.isdisjoint(both)]
    if refused:
        shown = ", ".join(map(str, refused[:_SHOWN])) + (f" and {len(refused) - _SHOWN} more" * (len(refused) > _SHOWN))
        longest = max(len(sequences[place].ids) for place in unusable)
        raise InputError(
            f"pairs: {shown} (from 0) have an empty text or one that does not fit: the model takes {most} tokens, and "
            f"the longest has {longest}; leave these pairs out"
        )
    return EncodedTexts(sequences, best, worse)
