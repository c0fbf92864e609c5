"""Pairs as token sequences for a model in memory: every text is used, or the call is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.chat import RenderingError
from genies.lm.text import TokenSequence, encode
from genies.lm.text_format import library_format

_SHOWN = 5


@dataclass(frozen=True)
class EncodedTexts:
    """The different texts of some pairs, and which of them each pair has."""

    sequences: list[TokenSequence]
    best: list[int]
    """For each pair the index of its best response in `sequences`."""
    worse: list[int]


def encode_texts(
    tokenizer: Any,
    most: int | None,
    pairs: Sequence[Pair],
    prompt_format: str,
    system_prompt: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> EncodedTexts:
    """The token sequences of pairs, each text once.

    Raises InputError that lists the pairs with a text of more than `most` tokens or of none, for no pairs, for an
    unknown format of prompts, and for chat format without a chat template.
    """
    text_format = library_format(tokenizer, prompt_format, system_prompt, chat_template_kwargs)
    pairs = list(pairs)
    if not pairs:
        raise InputError("pairs: expected at least one, got none")
    if wrong := next((each for each in pairs if not isinstance(each, Pair)), None):
        raise InputError(f"pairs: expected genies.Pair, as genies.pairs makes them, got {type(wrong).__name__}")
    pairs = text_format.pairs(pairs)
    texts = list(dict.fromkeys((pair.prompt, text) for pair in pairs for text in (pair.best, pair.worse)))
    try:
        sequences = encode(tokenizer, texts, text_format.template_kwargs)
    except RenderingError as error:
        prompt, _ = texts[error.place]
        first = next(index for index, pair in enumerate(pairs) if pair.prompt == prompt)
        raise InputError(f"pairs: {first} (from 0): {error}") from None
    places = {text: place for place, text in enumerate(texts)}
    best = [places[pair.prompt, pair.best] for pair in pairs]
    worse = [places[pair.prompt, pair.worse] for pair in pairs]
    unusable = {
        place
        for place, sequence in enumerate(sequences)
        if len(sequence.ids) < 2 or not sequence.response or (most is not None and len(sequence.ids) > most)
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
