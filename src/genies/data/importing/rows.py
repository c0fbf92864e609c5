"""Convert one row of preference data to a prompt, its responses and the positions of the best ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from genies.data.conversation import ROLES, Message, Prompt
from genies.data.importing import transcripts
from genies.data.importing.template import Template
from genies.files import is_unicode, object_without_repeats

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


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows with best and worse responses, one or several of each: texts, or conversations that end with them."""

    chosen: str
    rejected: str
    prompt: str | None
    """None if the conversations contain the prompt."""
    equal_scores: tuple[str, str] | None = None
    """Columns with the scores of chosen and rejected; equal ones are a tie."""
    styled: bool = False
    """Whether the responses of each list are in ascending order of how elaborate they are (RM-Bench)."""
    field: str | None = None
    """The field of a response's text, if responses are objects that are no messages."""
    id: str | None = None
    """Column with the row's name."""

    def columns(self) -> list[str]:
        names = (self.prompt, self.chosen, self.rejected, self.id, *(self.equal_scores or ()))
        return [name for name in names if name is not None]

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        best, worse = self._several(values, self.chosen), self._several(values, self.rejected)
        found = _preference(values, self.prompt, [*best, *worse], range(len(best)), template)
        if self.equal_scores is not None:
            one, other = (_score(_get(values, name), name) for name in self.equal_scores)
            if one == other:
                raise Tie(found._replace(best=tuple(range(len(found.responses)))))
        styles = (*range(len(best)), *range(len(worse))) if self.styled else None
        name = values.get(self.id) if self.id is not None else None
        return found._replace(styles=styles, id=None if name is None else str(name))

    def _several(self, values: dict[str, Any], column: str) -> list[tuple[str, Any]]:
        """The place and the value of each response in a column: a text, a conversation, or a list of them."""
        value = _get(values, column)
        if self.field is not None:
            objects = value if isinstance(value, list) else [value]
            places = [f"{column}[{number}]" if isinstance(value, list) else column for number in range(len(objects))]
            return [
                (f"{place}.{self.field}", _inside(each, self.field, place))
                for place, each in zip(places, objects, strict=True)
            ]
        if isinstance(value, list) and value and not any(isinstance(each, dict) for each in value):
            return [(f"{column}[{number}]", each) for number, each in enumerate(value)]
        return [(column, value)]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with a list of responses and their scores. The response with the highest score is best; rows with several
    highest scores are ties."""

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
        found = _preference(values, self.prompt, list(zip(places, responses, strict=True)), best, template)
        if len(best) > 1:
            raise Tie(found)
        return found


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows with two responses and a column that says which is better."""

    first: str
    second: str
    winner: str
    prompt: str | None
    values: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    """The values of `winner` for the first, for the second, and for a tie, as text."""

    def columns(self) -> list[str]:
        return [name for name in (self.prompt, self.first, self.second, self.winner) if name is not None]

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        given = [(name, _get(values, name)) for name in (self.first, self.second)]
        value = _get(values, self.winner)
        winner = f"{value:g}" if isinstance(value, float) else str(value)
        which = next((place for place, known in enumerate(self.values) if winner in known), None)
        if which is None:
            known = ", ".join(repr(each) for group in self.values for each in group)
            raise Malformed(self.winner, f"expected one of {known}, got {winner[:40]!r}")
        found = _preference(values, self.prompt, given, (0, 1) if which == 2 else (which,), template)
        if which == 2:
            raise Tie(found)
        return found


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Rows with two whole conversations as text (see genies.data.importing.transcripts)."""

    chosen: str
    rejected: str
    keep_parting: bool = False
    """Whether pairs that differ before the last turn are kept, with all that follows as the response."""

    def columns(self) -> list[str]:
        return [self.chosen, self.rejected]

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Parting."""
        turns = []
        for name in (self.chosen, self.rejected):
            turns.append(transcripts.parse(_text(_get(values, name), name)))
            if not turns[-1] or turns[-1][-1].role != "assistant":
                raise Malformed(name, "expected a text with the turns 'Human: ...' and 'Assistant: ...', the last one "
                                "the assistant's")  # fmt: skip
        context, best, worse, early = transcripts.split_where_they_part(*turns)
        if early and not self.keep_parting:
            raise Parting
        if not context:
            raise Malformed(self.chosen, f"expected the same first turn as in {self.rejected}")
        conversation = [message._asdict() for message in context]
        given = [(name, text) for name, text in ((self.chosen, best), (self.rejected, worse))]
        return _preference({"prompt": conversation}, "prompt", given, (0,), template)


@dataclass(frozen=True, slots=True)
class Either:
    """Rows of several layouts; the first whose columns a row has is used."""

    layouts: tuple[Pairs | Scored | Choice, ...]

    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for each in self.layouts for name in each.columns()))

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        fitting = (each for each in self.layouts if all(name in values for name in each.columns()))
        return next(fitting, self.layouts[0]).read(values, template)


Layout = Pairs | Scored | Choice | Transcripts | Either


def _preference(
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
        field, value = column, _get(values, column)
        if isinstance(value, str):
            text = _text(value, column)
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
