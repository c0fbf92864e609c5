"""Text to token ids, one way for training and evaluation alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genies.errors import InputError
from genies.lm.sites import ReadAt


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A prompt and a response as one sequence of token ids, end-of-text last."""

    ids: tuple[int, ...]
    response: tuple[int, ...]
    """Positions in `ids` of the response's tokens, ascending; the last is the end-of-text token's."""

    @property
    def last_response(self) -> int:
        """Position of the last token before the end-of-text token; an empty response leaves the prompt's last token."""
        return self.response[-1] - 1

    def read_until(self, read_at: ReadAt) -> tuple[int, ...]:
        """The ids up to the token whose activations represent the text, that token included.

        >>> TokenSequence((7, 8, 9, 2), response=(2, 3)).read_until("last_response")
        (7, 8, 9)
        """
        last = self.last_response if read_at == "last_response" else self.response[-1]
        return self.ids[: last + 1]


def encode(tokenizer: Any, texts: Sequence[tuple[str, str]]) -> list[TokenSequence]:
    """The token sequence of each (prompt, response).

    Both are tokenized together, with the special tokens the tokenizer adds by itself, and its end-of-text token is
    appended, once, also where the tokenizer does that itself. A token belongs to the response when its characters
    reach past the prompt's end, so one that spans the boundary does. Nothing is stripped, cut off or forced apart.

    With a tokenizer of one token a character and no special tokens but `</s>` = 2:

    >>> encode(tokenizer, [("ab", "c")])  # doctest: +SKIP
    [TokenSequence(ids=(10, 11, 12, 2), response=(2, 3))]
    """
    end = end_of_text(tokenizer)
    if not texts:
        return []
    encoded = tokenizer(
        [prompt + response for prompt, response in texts],
        add_special_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
        padding=False,
        truncation=False,
        verbose=False,
    )
    appended = _appends_end(tokenizer, end)
    sequences = []
    for (prompt, _), ids, spans in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        boundary = len(prompt)
        response = [position for position, (_, stop) in enumerate(spans) if stop > boundary]
        ids = ids[:-1] if appended else ids
        sequences.append(TokenSequence((*ids, end), (*response, len(ids))))
    return sequences


def _appends_end(tokenizer: Any, end: int) -> bool:
    """Whether the tokenizer ends every text with the end-of-text token by itself: a token of no characters."""
    encoded = tokenizer("a", add_special_tokens=True, return_offsets_mapping=True)
    return bool(encoded["input_ids"][-1] == end and encoded["offset_mapping"][-1][1] == 0)


def end_of_text(tokenizer: Any) -> int:
    """The id of the tokenizer's end-of-text token; InputError when it has none."""
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer in {tokenizer.name_or_path} names no end-of-text token; "
            "expected `eos_token` in its tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)
