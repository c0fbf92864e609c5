"""The declaration of an intervention, intervention.json: its arguments, and which of them do not change results.

The file is optional. The harness reads it instead of importing the scripts, which takes seconds.

    python -m genies.declaration src/interventions/mms

writes the file from the argument models of a train.py and an eval.py that use `genies.contract.run`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic.alias_generators import to_camel

from genies.command_line import Arguments, WithoutEffect, parse
from genies.contract import CONTRACT_NAMES, UNLABELLED, argument_items, item_text
from genies.errors import InputError
from genies.files import read_json, write_text
from genies.model_faults import faults_of

FILE = "intervention.json"

Role = Literal["train", "evaluate"]
SCRIPTS: Mapping[Role, str] = {"train": "train.py", "evaluate": "eval.py"}


class ArgumentType(BaseModel):
    """The values that an argument can have: a part of JSON Schema. Other keywords are ignored; {} allows all values."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    type: Literal["string", "integer", "number", "boolean", "array", "object", "null"] | None = None
    format: str | None = None
    """path: a file or a folder."""
    any_of: tuple[ArgumentType, ...] = ()
    enum: tuple[str | bool | int | float | None, ...] = ()
    const: str | bool | int | float | None = None
    items: ArgumentType | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = None
    exclusive_maximum: int | float | None = None
    min_length: int | None = None

    def annotation(self) -> Any:
        """The same as a type annotation of an argument model."""
        choices = self.enum if self.const is None else (self.const,)
        if choices:  # on a command line, they are text
            return Literal[tuple(item_text(choice) for choice in choices if choice is not None)]
        if self.any_of:
            return Union[tuple(each.annotation() for each in self.any_of)]  # noqa: UP007 - the members are computed
        if self.type == "array":
            return list[self.items.annotation() if self.items else Any]  # type: ignore[misc]
        kinds: dict[str | None, Any] = {"integer": int, "number": float, "boolean": bool, "null": None}
        text = Path if self.format == "path" else str
        kind = {**kinds, "string": text, "object": dict[str, Any]}.get(self.type, Any)
        limits: dict[str, Any] = {
            "ge": self.minimum,
            "le": self.maximum,
            "gt": self.exclusive_minimum,
            "lt": self.exclusive_maximum,
            "min_length": self.min_length,
        }
        given = {name: limit for name, limit in limits.items() if limit is not None}
        return Annotated[kind, Field(**given)] if given else kind


class _Undocumented(Arguments):
    """Base of argument models that are made from values: there is no source code to search for docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=False)


class Declaration(BaseModel):
    """The content of intervention.json. Every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    train_arguments: dict[str, ArgumentType] | None = None
    """The arguments of train.py in addition to the contract's, with their values (default: unknown until the script
    runs). A list of names allows all values."""
    eval_arguments: dict[str, ArgumentType] | None = None
    """The arguments of eval.py, in the same way."""
    without_effect: frozenset[str] = frozenset()
    """Arguments that do not change results. They are ignored when results are compared."""
    without_effect_in_32_bits: frozenset[str] = frozenset()
    """Arguments that are ignored in the same way unless the model runs in 16 bits."""
    tunes: bool = True
    """false: train.py changes nothing that eval.py reads, so the untuned model is evaluated instead."""
    unlabelled: bool = False
    """true: train.py has the argument unlabelled_distribution. It gets the texts of the target's train split without
    labels, and one model is tuned for each target."""
    runs_model: bool = True
    """false: neither script runs the model, so it needs no memory for one."""

    @field_validator("train_arguments", "eval_arguments", mode="before")
    @classmethod
    def _of_names(cls, value: Any) -> Any:
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return {name: {} for name in value} if names else value

    def arguments(self, script: str) -> Mapping[str, ArgumentType] | None:
        """The arguments of train.py or eval.py; None if they are not declared."""
        return self.train_arguments if script == "train.py" else self.eval_arguments

    def invalid_values(self, script: str, kwargs: Mapping[str, Any]) -> str | None:
        """What is wrong with the values of declared arguments; None if nothing is."""
        known = self.arguments(script) or {}
        given = {name: each for name, each in kwargs.items() if name in known}
        types: dict[str, Any] = {name: (known[name].annotation(), None) for name in given}
        try:
            parse(create_model("Arguments", __base__=_Undocumented, **types), argument_items(given))
        except InputError as error:
            return str(error)
        return None

    def ignored(self, in_16_bits: bool) -> frozenset[str]:
        """The arguments that have no effect on results."""
        return self.without_effect if in_16_bits else self.without_effect | self.without_effect_in_32_bits


def read_declaration(folder: Path) -> Declaration:
    """The declaration of the intervention in `folder`; empty without a file. Raises InputError if it is invalid."""
    path = folder / FILE
    if not path.is_file():
        return Declaration()
    value = read_json(path, "declaration of an intervention")
    try:
        return Declaration.model_validate(value)
    except ValidationError as error:
        raise InputError(f"declaration of an intervention {path}: {faults_of(error, Declaration)}") from None


def declared_by(train: type[BaseModel], evaluate: type[BaseModel]) -> dict[str, Any]:
    """The fields of a declaration that can be derived from the argument models of the two scripts."""
    always, in_32_bits = set[str](), set[str]()
    for name, field in {**train.model_fields, **evaluate.model_fields}.items():
        marks = [mark for mark in field.metadata if isinstance(mark, WithoutEffect)]
        if marks:
            (always if marks[0].in_16_bits else in_32_bits).add(name)
    return {
        "train_arguments": _argument_types(train),
        "eval_arguments": _argument_types(evaluate),
        "without_effect": sorted(always),
        "without_effect_in_32_bits": sorted(in_32_bits),
        **({"unlabelled": True} if UNLABELLED in train.model_fields else {}),
    }


def _argument_types(model: type[BaseModel]) -> dict[str, Any]:
    schemas = model.model_json_schema()["properties"]
    types = {name: ArgumentType.model_validate(schemas[name]) for name in sorted(schemas.keys() - CONTRACT_NAMES)}
    return {name: each.model_dump(mode="json", by_alias=True, exclude_unset=True) for name, each in types.items()}


def declaration_of(folder: Path) -> Mapping[str, Any]:
    """The content that intervention.json should have. Imports the scripts; keeps `tunes` and `runs_model`."""
    train, evaluate = (argument_model(folder / script) for script in ("train.py", "eval.py"))
    given = read_declaration(folder)
    kept = {name: False for name in ("tunes", "runs_model") if not getattr(given, name)}
    return {**declared_by(train, evaluate), **kept}


def argument_model(script: Path) -> type[BaseModel]:
    """The argument model of the function that a script passes to `run`, which is named train or evaluate."""
    if not script.is_file():
        raise InputError(f"{script} does not exist; expected a folder with train.py and eval.py")
    spec = importlib.util.spec_from_file_location(f"declared_{script.parent.name}_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic resolves the annotations of a model in its module
    sys.path.insert(0, str(script.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(script.parent))
    body = getattr(module, {"train.py": "train", "eval.py": "evaluate"}[script.name], None)
    model = next(iter(get_type_hints(body).values()), None) if body is not None else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise InputError(f"{script} has no function train or evaluate whose only parameter is an argument model")
    return model


def text_of(declaration: Mapping[str, Any]) -> str:
    """The declaration as JSON with a line for each argument."""

    def shown(value: Any) -> str:
        members = [f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in value.items()]
        return "{\n" + ",\n".join(members) + "\n  }"

    fields = [f'  "{name}": {shown(value) if isinstance(value, dict) and value else json.dumps(value)}'
              for name, value in declaration.items()]  # fmt: skip
    return "{\n" + ",\n".join(fields) + "\n}\n"


def main() -> None:
    """Write intervention.json into each folder named on the command line."""
    for name in sys.argv[1:]:
        folder = Path(name)
        write_text(folder / FILE, text_of(declaration_of(folder)))
        print(folder / FILE)


if __name__ == "__main__":
    from genies.errors import run_command

    run_command(main)
