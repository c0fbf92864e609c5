"""The content of a card, card.json: version 1 of its schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genies.errors import InputError
from genies.files import read_json

SCHEMA = 1
"""Raised when a field changes its meaning or goes."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Sample(_Part):
    """A pair on which the scorer is most wrong."""

    target: str
    example: int
    """Index in test.json."""
    prompt: str
    best: str
    preferred: str
    p: Share
    """Probability of the best response."""


class TargetShare(_Part):
    """The result on one target."""

    target: str
    share: Share
    pairs: int


class Answer(_Part):
    """The answer to one question."""

    id: str
    question: str
    says: str
    """What a share of 1 means."""
    share: Share | None
    """Share of pairs; a tie counts half. For a transformation: share of pairs with the preference of before. None if no
    target is installed."""
    low: Share | None = None
    """The 95 % interval, clustered by prompt, for other prompts of the same targets."""
    high: Share | None = None
    prompts: int = 0
    targets: list[TargetShare] = []
    missing: list[str] = []
    """Targets that are not installed."""
    marks: list[str] = []
    """Why the answer is weak: few prompts, known defects of labels."""
    difference: float | None = None
    """With --compare: the share minus that of the other scorer on the same pairs."""
    difference_low: float | None = None
    difference_high: float | None = None
    adjusted_p_value: Share | None = None
    """By Holm's method over the questions."""
    samples: list[Sample] = []


class Calibration(_Part):
    """Over all targets, each with its own distribution of difficulty."""

    rms_error: Share
    brier_score: Share
    average_confidence: Share
    accuracy: Share
    pairs: int


class Card(_Part):
    """What a scorer prefers. card.json contains one."""

    schema_version: Literal[1] = 1
    name: str
    scorer: str
    prompt_format: str
    dtype: str | None
    max_examples: int
    warnings: list[str]
    """At the top of the card: a prompt format that is not the model's, assumptions about it."""
    answers: list[Answer]
    calibration: Calibration | None
    compared_with: str | None = None
    provenance: dict[str, str]


def read_card(path: Path) -> Card:
    """The card in a file; InputError if it is not one."""
    value = read_json(path, "card")
    try:
        return Card.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"card {path}, {place}: {first['msg']}; expected version {SCHEMA} of a card") from None
