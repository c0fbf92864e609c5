"""The values of one row of preference data: a prompt, its responses and the positions of the best ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from genies.data.conversation import ROLES, Message, Prompt
from genies.data.importing.template import Template
from genies.files import is_unicode, json_kind, object_without_repeats

MAX_ROW_BYTES = 1 << 24
"""A longer row indicates a damaged file. The limit, 16 MiB, also bounds memory use."""


class Malformed(Exception):
    """A row is not a valid example. Contains the invalid field, and what was expected and found."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"field {field}: {message}" if field else message)
        self.field = field.partition("[")[0].partition(".")[0]


class Tie(Exception):
    """A row whose responses are equally good. Contains what it becomes if ties are kept."""

    def __init__(self, preference: Preference) -> None:
        super().__init__("tie")
        self.preference = preference


class Parting(Exception):
    """A row whose conversations differ before the last turn."""


Values = dict[str, Any] | Malformed


class Preference(NamedTuple):
    """A prompt after the template was applied, and the responses in the order of the data."""

    prompt: Prompt
    responses: tuple[str, ...]
    best: tuple[int, ...]
    """Positions of the best responses; of all for a tie."""
    styles: tuple[int, ...] | None = None
    """How elaborate each response is (RM-Bench)."""
    id: str | None = None
    """The row's name in the data."""


def preference(
    values: dict[str, Any],
    prompt_column: str | None,
    given: Sequence[tuple[str, Any]],
    best: Sequence[int],
    template: Template,
) -> Preference:
    """The preference from the places and values of all responses. Conversations must agree up to the response."""
    read = [_response(value, place) for place, value in given]
    context = read[0][0]
    for (place, _), (other, _) in zip(given, read, strict=True):
        if other != context:
            raise Malformed(place, f"the conversation before the response differs from that in {given[0][0]}")
    texts: dict[str, str] = {}
    for (place, _), (_, text) in zip(given, read, strict=True):
        if not text.strip():
            raise Malformed(place, "expected a response, got empty text")
        if text in texts:
            raise Malformed(place, f"expected different responses, got the same text as in {texts[text]}")
        texts[text] = place
    prompt = _prompt(values, prompt_column, context, given[0][0], template)
    return Preference(prompt, tuple(texts), tuple(best))


def _prompt(
    values: dict[str, Any], column: str | None, context: tuple[Message, ...], response_place: str, template: Template
) -> Prompt:
    if column is None:
        if not context:
            raise Malformed(
                response_place,
                "expected a conversation, because the data has no prompt column (set its name with --prompt_column)",
            )
        field, messages = response_place, context
    else:
        field, value = column, get(values, column)
        if isinstance(value, str):
            text = text_of(value, column)
            if context and all(text != message.content for message in context):
                raise Malformed(column, f"is not part of the conversation in {response_place}")
            messages = context or (Message("user", text),)
        else:
            messages = _messages(value, column)
            if context and messages != context:
                raise Malformed(column, f"differs from the conversation in {response_place}")
    if not any(message.content.strip() for message in messages):
        raise Malformed(field, "expected a prompt, got empty text")
    if len(messages) == 1 or template.message is not None:
        return template.fill(template.conversation(messages))
    _check_turns(messages, field)
    return messages


def _check_turns(messages: Sequence[Message], field: str) -> None:
    """Raise Malformed unless a distribution can contain the conversation."""
    for place, message in enumerate(messages):
        if message.role not in ROLES or (message.role == "system" and place):
            known = "system, only at the beginning, user or assistant"
            raise Malformed(f"{field}[{place}].role", f"expected {known}, got {message.role[:40]!r}")
    if messages[-1].role != "user":
        raise Malformed(field, f"expected the user's turn at the end, got that of {messages[-1].role[:40]!r}")


def _response(value: Any, place: str) -> tuple[tuple[Message, ...], str]:
    """The messages before a response, and its text."""
    if isinstance(value, str):
        return (), text_of(value, place)
    messages = _messages(value, place)
    if messages[-1].role != "assistant":
        raise Malformed(f"{place}[{len(messages) - 1}].role", f"expected assistant, got {messages[-1].role[:40]!r}")
    return messages[:-1], messages[-1].content


def _messages(value: Any, place: str) -> tuple[Message, ...]:
    if isinstance(value, dict) and all(isinstance(value.get(key), list) for key in ("role", "content")):
        # `datasets` converts a sequence of objects to an object of lists.
        if len(value["role"]) != len(value["content"]):
            raise Malformed(place, "expected as many roles as contents")
        turns = zip(value["role"], value["content"], strict=True)
        value = [{"role": role, "content": content} for role, content in turns]
    if not isinstance(value, list):
        raise Malformed(place, f"expected text or a list of messages, got {json_kind(value)}")
    if not value:
        raise Malformed(place, "expected a list of messages, got an empty list")
    places = [f"{place}[{number}]" for number in range(len(value))]
    return tuple(
        Message(*(text_of(inside(each, key, turn), f"{turn}.{key}") for key in _MESSAGE_KEYS))
        for turn, each in zip(places, value, strict=True)
    )


_MESSAGE_KEYS = ("role", "content")


def get(values: dict[str, Any], column: str) -> Any:
    """The value of a column. Raises Malformed if it is missing."""
    if column not in values:
        raise Malformed(column, "is missing")
    return values[column]


def get_list(values: dict[str, Any], column: str) -> list[Any]:
    """A list, or a list as JSON text, because CSV files have no other lists."""
    value = get(values, column)
    if isinstance(value, str):
        value = parse_json(value, column)
    if not isinstance(value, list):
        raise Malformed(column, f"expected a list, got {json_kind(value)}")
    return value


def parse_json(text: str, place: str) -> Any:
    """The value of JSON text. Raises Malformed."""
    try:
        return json.loads(text, object_pairs_hook=object_without_repeats)
    except (ValueError, RecursionError) as error:
        raise Malformed(place, f"expected JSON ({str(error)[:100]}), got {text[:40]!r}") from None


def inside(value: Any, key: str, place: str) -> Any:
    """A field of an object. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(place, f"expected an object with {key}, got {json_kind(value)}")
    if key not in value:
        raise Malformed(f"{place}.{key}", "is missing")
    return value[key]


def text_of(value: Any, place: str) -> str:
    """A value that must be text. Raises Malformed."""
    if not isinstance(value, str):
        raise Malformed(place, f"expected text, got {json_kind(value)}")
    if not is_unicode(value):
        raise Malformed(place, "is not UTF-8 text")
    if len(value) > MAX_ROW_BYTES:
        raise Malformed(place, f"expected at most {MAX_ROW_BYTES:,} characters, got {len(value):,}")
    return value


def number_of(value: Any, place: str) -> int | float | Decimal:
    """A value that must be a finite number. Raises Malformed."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Malformed(place, f"expected a number, got {json_kind(value)}")
    if not isinstance(value, int) and not math.isfinite(value):
        raise Malformed(place, f"expected a finite number, got {value}")
    return value
