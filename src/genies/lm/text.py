"""Convert text to token ids, in the same way for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from genies.data.conversation import Conversation, Prompt
from genies.errors import InputError
from genies.lm.chat import Rendered, render
from genies.lm.sites import ReadAt


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A prompt and a response as one sequence of token ids."""

    ids: tuple[int, ...]
    """In raw format, the last is the end-of-text token; in chat format, the end of the rendered conversation."""
    response: tuple[int, ...]
    """Positions in `ids` of the response's tokens, ascending, at least one. The last is that of the end-of-text token
    or, in chat format, of the end-of-turn token."""
    last_text: int | None = None
    """Position of the last token of the response's own text, if it is not the one before the last of `response`."""

    @property
    def last_response(self) -> int:
        """Position of the last token of the response's own text: the token before it if the response is empty."""
        return self.response[-1] - 1 if self.last_text is None else self.last_text

    def read_until(self, read_at: ReadAt) -> tuple[int, ...]:
        """The ids up to and including the token whose activations represent the text.

        >>> TokenSequence((7, 8, 9, 2), response=(2, 3)).read_until("last_response")
        (7, 8, 9)
        """
        last = self.last_response if read_at == "last_response" else self.response[-1]
        return self.ids[: last + 1]


def encode(
    tokenizer: Any, texts: Sequence[tuple[Prompt, str]], template_kwargs: Mapping[str, Any] | None = None
) -> list[TokenSequence]:
    """The token sequence of each (prompt, response): in raw format if the prompt is a text, in chat format if it is a
    conversation, which the tokenizer's chat template renders with `template_kwargs` (see genies.lm.chat).

    In raw format, prompt and response are tokenized together, with the special tokens that the tokenizer adds, and its
    end-of-text token is appended. Neither is added twice: a text that begins with the begin-of-text token or ends in
    the end-of-text token keeps its own. A token belongs to the response if it contains a character of the response, so
    a token that spans the boundary does. The end-of-text token always does. Nothing is stripped, truncated or split at
    the boundary.

    With one token per character and `</s>` = 2 as the only special token:

    >>> encode(tokenizer, [("ab", "c"), ("ab", "c</s>")])  # doctest: +SKIP
    [TokenSequence(ids=(10, 11, 12, 2), response=(2, 3)), TokenSequence(ids=(10, 11, 12, 2), response=(2, 3))]
    """
    raw = [(prompt, response) for prompt, response in texts if isinstance(prompt, str)]
    chat = [(place, prompt, response) for place, (prompt, response) in enumerate(texts) if not isinstance(prompt, str)]
    if not chat:
        return _encode_raw(tokenizer, raw)
    found = iter(_encode_raw(tokenizer, raw))
    rendered = iter(_encode_chat(tokenizer, chat, template_kwargs or {}))
    return [next(found if isinstance(prompt, str) else rendered) for prompt, _ in texts]


def response_pieces(
    tokenizer: Any,
    prompt: Prompt,
    response: str,
    sequence: TokenSequence,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[str]:
    """The part of the response's text in each token of `sequence.response`, which is its encoding.

    Together they are the response. A part is empty if the token contains no character of the response, as the
    end-of-text token, or only bytes of a character that belongs to an earlier token.
    """
    if isinstance(prompt, str):
        text, start, stop = prompt + response, len(prompt), len(prompt) + len(response)
    else:
        rendered = render(tokenizer, [(0, prompt, response)], template_kwargs or {})[0]
        text, start, stop = rendered.text, rendered.start, rendered.stop
    with _without_post_processor(tokenizer):
        encoded = _tokenize(tokenizer, [text], add_special_tokens=isinstance(prompt, str))
    ids, spans = tuple(encoded["input_ids"][0]), encoded["offset_mapping"][0]
    added = next(each for each in range(len(sequence.ids)) if sequence.ids[each : each + len(ids)] == ids)
    own = [spans[place - added] if place - added < len(spans) else (stop, stop) for place in sequence.response]
    pieces, done = [], start
    for (_, end), (following, further) in zip(own, [*own[1:], (stop, stop)], strict=True):
        end = min(max(min(end, following) if further > end else end, done), stop)
        pieces.append(text[done:end])
        done = end
    pieces[-1] += text[done:stop]  # white space that the tokenizer dropped
    return pieces


def _encode_raw(tokenizer: Any, texts: Sequence[tuple[str, str]]) -> list[TokenSequence]:
    end = end_of_text(tokenizer)
    if not texts:
        return []
    before, after = _added_tokens(tokenizer, end)
    with _without_post_processor(tokenizer):
        encoded = _tokenize(tokenizer, [prompt + response for prompt, response in texts])
    return [
        _sequence(ids, spans, len(prompt), before, after, end)
        for (prompt, _), ids, spans in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _encode_chat(
    tokenizer: Any, texts: Sequence[tuple[int, Conversation, str]], template_kwargs: Mapping[str, Any]
) -> list[TokenSequence]:
    """The token sequences of (place, conversation, response); `place` is for messages."""
    rendered = render(tokenizer, texts, template_kwargs)
    with _without_post_processor(tokenizer):
        encoded = _tokenize(tokenizer, [each.text for each in rendered], add_special_tokens=False)
    # Some models list their end of turn among the added tokens without calling it special.
    added = tokenizer.added_tokens_decoder.items()
    special = {int(each) for each, token in added if token.special or token.content.strip()}
    return [
        _chat_sequence(ids, spans, each, special)
        for each, ids, spans in zip(rendered, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _chat_sequence(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], rendered: Rendered, special: set[int]
) -> TokenSequence:
    """The token sequence of a rendered conversation: its response with the first special token after it."""
    own = [place for place, (start, stop) in enumerate(spans) if stop > rendered.start and start < rendered.stop]
    last_text = own[-1] if own else sum(stop <= rendered.start for _, stop in spans) - 1
    turn_end = next((place for place in range(last_text + 1, len(ids)) if ids[place] in special), last_text)
    response = range(own[0] if own else last_text + 1, turn_end + 1)
    return TokenSequence(tuple(ids), tuple(response), last_text)


def _sequence(
    ids: Sequence[int],
    spans: Sequence[tuple[int, int]],
    boundary: int,
    before: Sequence[int],
    after: Sequence[int],
    end: int,
) -> TokenSequence:
    """The token sequence of a text's `ids`, with the special tokens that its tokenizer adds `before` and `after`."""
    first = [] if ids and before and ids[0] == before[0] else before
    response = [len(first) + place for place, (_, stop) in enumerate(spans) if stop > boundary]
    if ids and ids[-1] == end:
        last = len(first) + len(ids) - 1
        return TokenSequence((*first, *ids), (*response, last) if last not in response else tuple(response))
    whole = (*first, *ids, *after, end)
    return TokenSequence(whole, (*response, len(whole) - 1))


def _added_tokens(tokenizer: Any, end: int) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer adds before and after every text, without a final end-of-text token.

    They are found by encoding the end-of-text token, the only text that is a token of every tokenizer used here.
    """
    encoded = _tokenize(tokenizer, [tokenizer.eos_token])
    ids, added = encoded["input_ids"][0], encoded["special_tokens_mask"][0]
    own = [place for place, is_added in enumerate(added) if not is_added] or [len(ids)]
    before, after = ids[: own[0]], ids[own[-1] + 1 :]
    return before, after[:-1] if after and after[-1] == end else after


def _tokenize(tokenizer: Any, texts: list[str], add_special_tokens: bool = True) -> Any:
    try:
        return tokenizer(
            texts,
            add_special_tokens=add_special_tokens,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            padding=False,
            truncation=False,
            verbose=False,
        )
    except BaseException as error:
        # A panic of the tokenizers library, which is not an Exception: its regular expressions abandon a match after
        # ten million steps, half a second.
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"the tokenizer in {tokenizer.name_or_path} cannot split a text into tokens ({str(error)[:200]}); check "
            "the regular expressions in its tokenizer.json, or download the model again"
        ) from None


@contextmanager
def _without_post_processor(tokenizer: Any) -> Iterator[None]:
    """Within the context, no special tokens are added, and a token's span contains all of its characters.

    The post-processors of byte-level tokenizers remove spaces from the spans (`trim_offsets`): a token that consists of
    a line break and indentation would seem to end before the indentation.
    """
    backend = tokenizer.backend_tokenizer
    kept = backend.post_processor
    backend.post_processor = None
    try:
        yield
    finally:
        backend.post_processor = kept


def end_of_text(tokenizer: Any) -> int:
    """The id of the tokenizer's end-of-text token; InputError if it has none."""
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer in {tokenizer.name_or_path} has no end-of-text token; "
            "expected `eos_token` in its tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)
