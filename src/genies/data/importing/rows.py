"""Convert one row of preference data to a prompt, its responses and the position of the best response."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from genies.data.importing.template import Message, Template
from genies.files import is_unicode, object_without_repeats

MAX_ROW_BYTES = 1 << 24
"""A longer row indicates a damaged file. The limit, 16 MiB, also bounds memory use."""


class Malformed(Exception):
    """A row is not a valid example. Contains the invalid field, and what was expected and found."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"field {field}: {message}" if field else message)
        self.field = field.partition("[")[0].partition(".")[0]


Values = dict[str, Any] | Malformed


class Preference(NamedTuple):
    """A prompt after the template was applied, the responses in the order of the data, and the best one's position."""

    prompt: str
    responses: tuple[str, ...]
    best: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows with a best response and one or several worse ones. Each is a text, or a conversation that ends with it."""

    chosen: str
    rejected: str
    prompt: str | None
    """None if the conversations contain the prompt."""

    def columns(self) -> list[str]:
        return [name for name in (self.prompt, self.chosen, self.rejected) if name is not None]

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed."""
        chosen = _get(values, self.chosen)
        rejected = _get(values, self.rejected)
        several = isinstance(rejected, list) and rejected and not any(isinstance(each, dict) for each in rejected)
        worse = (
            [(f"{self.rejected}[{number}]", each) for number, each in enumerate(rejected)]
            if several
            else [(self.rejected, rejected)]
        )
        return _preference(values, self.prompt, [(self.chosen, chosen), *worse], 0, template)


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with a list of responses and their scores. The response with the highest score is best."""

    responses: str
    """Column with a list of texts, of conversations, or of objects with response_field and score_field."""
    scores: str | None
    """Column with the scores, one for each response; None if the objects contain them."""
    prompt: str | None
    response_field: str
    score_field: str

    def columns(self) -> list[str]:
        return [name for name in (self.prompt, self.responses, self.scores) if name is not None]

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed."""
        responses = _list(values, self.responses)
        places = [f"{self.responses}[{number}]" for number in range(len(responses))]
        if self.scores is None:
            objects = list(zip(places, responses, strict=True))
            score_places = [f"{place}.{self.score_field}" for place in places]
            scores = [_inside(each, self.score_field, place) for place, each in objects]
            responses = [_inside(each, self.response_field, place) for place, each in objects]
            places = [f"{place}.{self.response_field}" for place in places]
        else:
            scores = _list(values, self.scores)
            if len(scores) != len(responses):
                raise Malformed(self.scores, f"expected {len(responses)} scores, one per response, got {len(scores)}")
            score_places = [f"{self.scores}[{number}]" for number in range(len(scores))]
        if len(responses) < 2:
            raise Malformed(self.responses, f"expected at least 2 responses, got {len(responses)}")
        numbers = [_score(score, place) for score, place in zip(scores, score_places, strict=True)]
        best = [position for position, number in enumerate(numbers) if number == max(numbers)]
        if len(best) > 1:
            tied = ", ".join(map(str, best))
            column = self.scores or f"{self.responses}[].{self.score_field}"
            raise Malformed(column, f"expected one highest score, got {numbers[best[0]]} for the responses {tied}")
        return _preference(values, self.prompt, list(zip(places, responses, strict=True)), best[0], template)


Layout = Pairs | Scored


def _preference(
    values: dict[str, Any], prompt_column: str | None, given: Sequence[tuple[str, Any]], best: int, template: Template
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
    prompt = template.fill(_prompt(values, prompt_column, context, given[0][0], template))
    return Preference(prompt, tuple(texts), best)


def _prompt(
    values: dict[str, Any], column: str | None, context: tuple[Message, ...], response_place: str, template: Template
) -> str:
    if column is None:
        if not context:
            raise Malformed(
                response_place,
                "expected a conversation, because the data has no prompt column (set its name with --prompt_column)",
            )
        field, text = response_place, template.conversation(context)
    else:
        field, value = column, _get(values, column)
        if isinstance(value, str):
            text = _text(value, column)
            if context and all(text != message.content for message in context):
                raise Malformed(column, f"is not part of the conversation in {response_place}")
            text = template.conversation(context) if context else text
        else:
            messages = _messages(value, column)
            if context and messages != context:
                raise Malformed(column, f"differs from the conversation in {response_place}")
            text = template.conversation(messages)
    if not text.strip():
        raise Malformed(field, "expected a prompt, got empty text")
    return text


def _response(value: Any, place: str) -> tuple[tuple[Message, ...], str]:
    """The messages before a response, and its text."""
    if isinstance(value, str):
        return (), _text(value, place)
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
        raise Malformed(place, f"expected text or a list of messages, got {kind(value)}")
    if not value:
        raise Malformed(place, "expected a list of messages, got an empty list")
    return tuple(
        Message(*(_text(_inside(each, key, f"{place}[{number}]"), f"{place}[{number}].{key}") for key in _MESSAGE_KEYS))
        for number, each in enumerate(value)
    )


_MESSAGE_KEYS = ("role", "content")


def _get(values: dict[str, Any], column: str) -> Any:
    if column not in values:
        raise Malformed(column, "is missing")
    return values[column]


def _list(values: dict[str, Any], column: str) -> list[Any]:
    """A list, or a list as JSON text, because CSV files have no other lists."""
    value = _get(values, column)
    if isinstance(value, str):
        value = parse_json(value, column)
    if not isinstance(value, list):
        raise Malformed(column, f"expected a list, got {kind(value)}")
    return value


def parse_json(text: str, place: str) -> Any:
    """The value of JSON text. Raises Malformed."""
    try:
        return json.loads(text, object_pairs_hook=object_without_repeats)
    except (ValueError, RecursionError) as error:
        raise Malformed(place, f"expected JSON ({str(error)[:100]}), got {text[:40]!r}") from None


def _inside(value: Any, key: str, place: str) -> Any:
    if not isinstance(value, dict):
        raise Malformed(place, f"expected an object with {key}, got {kind(value)}")
    if key not in value:
        raise Malformed(f"{place}.{key}", "is missing")
    return value[key]


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise Malformed(place, f"expected text, got {kind(value)}")
    if not is_unicode(value):
        raise Malformed(place, "is not UTF-8 text")
    if len(value) > MAX_ROW_BYTES:
        raise Malformed(place, f"expected at most {MAX_ROW_BYTES:,} characters, got {len(value):,}")
    return value


def _score(value: Any, place: str) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Malformed(place, f"expected a number, got {kind(value)}")
    if not isinstance(value, int) and not math.isfinite(value):
        raise Malformed(place, f"expected a finite number, got {value}")
    return value


def kind(value: Any) -> str:
    """The type of a value in terms of JSON."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bytes: "bytes", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number" if isinstance(value, int | float | Decimal) else type(value).__name__)
