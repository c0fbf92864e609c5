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
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from genies.command_line import WithoutEffect
from genies.contract import CONTRACT_NAMES
from genies.errors import InputError
from genies.files import read_json, write_text

FILE = "intervention.json"


class Declaration(BaseModel):
    """The content of intervention.json. Every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    train_arguments: frozenset[str] | None = None
    """The arguments of train.py in addition to the contract's (default: unknown until the script runs)."""
    eval_arguments: frozenset[str] | None = None
    """The arguments of eval.py in addition to the contract's (default: unknown until the script runs)."""
    without_effect: frozenset[str] = frozenset()
    """Arguments that do not change results. They are ignored when results are compared."""
    without_effect_in_32_bits: frozenset[str] = frozenset()
    """Arguments that are ignored in the same way unless the model runs in 16 bits."""
    tunes: bool = True
    """false: train.py changes nothing that eval.py reads, so the untuned model is evaluated instead."""

    def arguments(self, script: str) -> frozenset[str] | None:
        """The arguments of train.py or eval.py; None if they are not declared."""
        return self.train_arguments if script == "train.py" else self.eval_arguments

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


def faults_of(error: ValidationError, model: type[BaseModel]) -> str:
    """The first three errors of a file that should contain a model, each with its field."""
    known = ", ".join(model.model_fields)
    said = []
    for fault in error.errors()[:3]:
        unknown = fault["type"] == "extra_forbidden"
        message = f"unknown; known: {known}" if unknown and len(fault["loc"]) == 1 else fault["msg"]
        said.append(f"{'.'.join(map(str, fault['loc']))}: {message}" if fault["loc"] else message)
    return "; ".join(said)


def declared_by(train: type[BaseModel], evaluate: type[BaseModel]) -> dict[str, Any]:
    """The fields of a declaration that can be derived from the argument models of the two scripts."""
    always, in_32_bits = set[str](), set[str]()
    for name, field in {**train.model_fields, **evaluate.model_fields}.items():
        marks = [mark for mark in field.metadata if isinstance(mark, WithoutEffect)]
        if marks:
            (always if marks[0].in_16_bits else in_32_bits).add(name)
    return {
        "train_arguments": sorted(train.model_fields.keys() - CONTRACT_NAMES),
        "eval_arguments": sorted(evaluate.model_fields.keys() - CONTRACT_NAMES),
        "without_effect": sorted(always),
        "without_effect_in_32_bits": sorted(in_32_bits),
    }


def declaration_of(folder: Path) -> Mapping[str, Any]:
    """The content that intervention.json in `folder` should have. Imports the scripts; keeps the value of `tunes`."""
    train, evaluate = (_argument_model(folder / script) for script in ("train.py", "eval.py"))
    tunes = read_declaration(folder).tunes
    return {**declared_by(train, evaluate), **({} if tunes else {"tunes": False})}


def _argument_model(script: Path) -> type[BaseModel]:
    """The argument model of the function that a script passes to `run`, which is named train or evaluate."""
    if not script.is_file():
        raise InputError(f"{script} does not exist; expected a folder with train.py and eval.py")
    spec = importlib.util.spec_from_file_location(f"declared_{script.parent.name}_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
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


def main() -> None:
    """Write intervention.json into each folder named on the command line."""
    for name in sys.argv[1:]:
        folder = Path(name)
        text = json.dumps(declaration_of(folder), indent=2) + "\n"
        write_text(folder / FILE, text)
        print(folder / FILE)


if __name__ == "__main__":
    from genies.errors import run_command

    run_command(main)
