"""The questions of a card, from a YAML file that people can change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genies.data.transforming import TRANSFORMATIONS
from genies.errors import InputError
from genies.model_faults import faults_of
from genies.names import check_name
from genies.yaml_file import read_yaml

OWN = Path(__file__).with_name("questions.yaml")


class Transformed(BaseModel):
    """Targets made of a distribution by transformations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: str
    by: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _known(self) -> Transformed:
        unknown = [name for name in self.by if name not in TRANSFORMATIONS]
        if unknown:
            raise ValueError(f"unknown transformation {unknown[0]!r}; known: {', '.join(TRANSFORMATIONS)}")
        return self


class Question(BaseModel):
    """One question and the targets that answer it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    question: Annotated[str, Field(min_length=1)]
    says: str = ""
    """What a share of 1 means."""
    targets: list[str] = []
    transformed: Transformed | None = None
    defect: str = ""
    """What is known to be wrong with the labels of a target."""

    @model_validator(mode="after")
    def _something(self) -> Question:
        if bool(self.targets) == (self.transformed is not None):
            raise ValueError("expected targets, or transformed")
        return self


class _Questions(BaseModel):
    """The content of a file of questions."""

    model_config = ConfigDict(extra="forbid")

    questions: list[Question]


def read_questions(path: Path = OWN) -> list[Question]:
    """The questions in a file; InputError names the file and what is wrong."""
    value = read_yaml(path, "--questions", "questions, a list")
    try:
        found = _Questions.model_validate(value).questions
    except ValidationError as error:
        raise InputError(f"--questions {path}: {faults_of(error, _Questions)}") from None
    if not found:
        raise InputError(f"--questions {path} contains no questions")
    if len({each.id for each in found}) < len(found):
        raise InputError(f"--questions {path}: two questions have one id; give each its own")
    for each in found:
        for name in each.targets:
            check_name(name, f"--questions {path}, {each.id}, targets")
    return found
