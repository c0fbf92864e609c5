"""Layouts of rows: which columns hold the prompt, the responses, and what says which of them is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genies.data.conversation import as_json
from genies.data.importing import transcripts
from genies.data.importing.rows import (
    Malformed,
    Parting,
    Preference,
    Tie,
    get,
    get_list,
    inside,
    number_of,
    preference,
    text_of,
)
from genies.data.importing.template import Template


def _named(*columns: str | None) -> list[str]:
    return [name for name in columns if name is not None]


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
        return _named(self.prompt, self.chosen, self.rejected, self.id, *(self.equal_scores or ()))

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        best, worse = self._several(values, self.chosen), self._several(values, self.rejected)
        found = preference(values, self.prompt, [*best, *worse], range(len(best)), template)
        if self.equal_scores is not None:
            one, other = (number_of(get(values, name), name) for name in self.equal_scores)
            if one == other:
                raise Tie(found._replace(best=tuple(range(len(found.responses)))))
        styles = (*range(len(best)), *range(len(worse))) if self.styled else None
        name = values.get(self.id) if self.id is not None else None
        return found._replace(styles=styles, id=None if name is None else str(name))

    def _several(self, values: dict[str, Any], column: str) -> list[tuple[str, Any]]:
        """The place and the value of each response in a column: a text, a conversation, or a list of them."""
        value = get(values, column)
        if self.field is not None:
            objects = value if isinstance(value, list) else [value]
            places = [f"{column}[{number}]" if isinstance(value, list) else column for number in range(len(objects))]
            return [
                (f"{place}.{self.field}", inside(each, self.field, place))
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
        return _named(self.prompt, self.responses, self.scores)

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        responses = get_list(values, self.responses)
        places = [f"{self.responses}[{number}]" for number in range(len(responses))]
        if self.scores is None:
            objects = list(zip(places, responses, strict=True))
            score_places = [f"{place}.{self.score_field}" for place in places]
            scores = [inside(each, self.score_field, place) for place, each in objects]
            responses = [inside(each, self.response_field, place) for place, each in objects]
            places = [f"{place}.{self.response_field}" for place in places]
        else:
            scores = get_list(values, self.scores)
            if len(scores) != len(responses):
                raise Malformed(self.scores, f"expected {len(responses)} scores, one per response, got {len(scores)}")
            score_places = [f"{self.scores}[{number}]" for number in range(len(scores))]
        if len(responses) < 2:
            raise Malformed(self.responses, f"expected at least 2 responses, got {len(responses)}")
        numbers = [number_of(score, place) for score, place in zip(scores, score_places, strict=True)]
        best = [position for position, number in enumerate(numbers) if number == max(numbers)]
        found = preference(values, self.prompt, list(zip(places, responses, strict=True)), best, template)
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
        return _named(self.prompt, self.first, self.second, self.winner)

    def read(self, values: dict[str, Any], template: Template) -> Preference:
        """Raises Malformed, and Tie."""
        given = [(name, get(values, name)) for name in (self.first, self.second)]
        value = get(values, self.winner)
        winner = f"{value:g}" if isinstance(value, float) else str(value)
        which = next((place for place, known in enumerate(self.values) if winner in known), None)
        if which is None:
            known = ", ".join(repr(each) for group in self.values for each in group)
            raise Malformed(self.winner, f"expected one of {known}, got {winner[:40]!r}")
        found = preference(values, self.prompt, given, (0, 1) if which == 2 else (which,), template)
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
            turns.append(transcripts.parse(text_of(get(values, name), name)))
            if not turns[-1] or turns[-1][-1].role != "assistant":
                raise Malformed(name, "expected a text with the turns 'Human: ...' and 'Assistant: ...', the last one "
                                "the assistant's")  # fmt: skip
        context, best, worse, early = transcripts.split_where_they_part(*turns)
        if early and not self.keep_parting:
            raise Parting
        if not context:
            raise Malformed(self.chosen, f"expected the same first turn as in {self.rejected}")
        given = [(self.chosen, best), (self.rejected, worse)]
        return preference({"prompt": as_json(context)}, "prompt", given, (0,), template)


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
