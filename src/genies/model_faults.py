"""What is wrong with the content of a file that should contain a pydantic model, in words for its author."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

_EXPECTED = {
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "path_type": "text",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What was expected, by pydantic's type of error."""


def faults_of(error: ValidationError, model: type[BaseModel]) -> str:
    """The first three faults of a file that should contain a model, each with its field."""
    said: dict[str, list[str]] = {}
    found: dict[str, object] = {}
    for fault in error.errors():
        # pydantic also names the alternative of a union that did not fit, as list[any].
        place = [each for each in fault["loc"] if isinstance(each, int) or "[" not in each]
        if fault["type"] == "missing":
            message = "is missing"
        elif fault["type"] == "extra_forbidden":
            message = f"unknown; known: {', '.join(_known_names(model, place[:-1]))}"
        elif fault["type"] in _EXPECTED:
            message = _EXPECTED[fault["type"]]
            found[".".join(map(str, place))] = fault["input"]
        else:
            message = fault["msg"]
        said.setdefault(".".join(map(str, place)), []).append(message)
    return "; ".join(_fault(name, messages, found) for name, messages in [*said.items()][:3])


def _fault(name: str, messages: Sequence[str], found: Mapping[str, object]) -> str:
    message = " or ".join(dict.fromkeys(messages))
    if name in found:
        shown = json.dumps(found[name], default=str, ensure_ascii=False)
        message = f"expected {message}, got {shown if len(shown) <= 60 else shown[:57] + '...'}"
    return f"{name}: {message}" if name else message


def _known_names(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The names of the model at a place of a model, through lists and alternatives."""
    for each in place:
        if isinstance(each, str) and each in model.model_fields:
            inner = _model_in(model.model_fields[each].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)
