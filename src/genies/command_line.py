"""A pydantic model as a command line: flags, a YAML file with the same names, and help from the field docs.

Every argument is `--name value` in two items, or `--name=value`. Lists and objects are JSON (Python literals are
accepted too), and a boolean needs no value. argparse writes the help.

Three libraries were tried, and none follows all of these rules. pydantic-settings splits a list at the commas inside
its quoted items. jsonargparse 4.53 rejects a boolean without a value and a value that starts with dashes, and does
not accept a single item for a list. tyro 1.0 reads a JSON list as one item, has `--x` and `--no-x` in place of
`--x True`, and reads no JSON object. Their imports take 2.6 to 3.6 times as long as argparse, yaml and pydantic.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from genies.errors import InputError, run_command
from genies.files import object_without_repeats
from genies.spelling import spelled, started_as_genies
from genies.yaml_file import read_yaml

A = TypeVar("A", bound="Arguments")
M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")


class Arguments(BaseModel):
    """Base class of all command lines: unknown names are errors, and field docs become the help."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    positional: ClassVar[str | None] = None
    """The argument to which a value without a name belongs."""
    aliases: ClassVar[dict[str, str]] = {}
    """Other names of arguments."""
    listed_last: ClassVar[bool] = False
    """Whether the help lists the arguments that this class defines after those of the classes that extend it."""


@dataclass(frozen=True)
class WithoutEffect:
    """Mark an argument, as in `Annotated[int, NO_EFFECT]`, that changes speed, paths or output but never results."""

    in_16_bits: bool = True
    """Whether this is also true for a model in 16 bits, where sums depend on the order of addition."""


NO_EFFECT = WithoutEffect()


def run(body: Callable[Concatenate[A, P], int | None], *others: P.args, **named: P.kwargs) -> None:
    """Run `body` with arguments from the command line. The annotation of its first parameter is the model.

    Further arguments are passed on to `body`.
    """
    model = next(iter(get_type_hints(body).values()))
    run_command(lambda: body(parse(model, sys.argv[1:]), *others, **named))


def parse(model: type[A], argv: Sequence[str]) -> A:
    """Arguments of type `model` from command-line items, which override those of a `--config FILE` (YAML).

    Raises InputError for unknown, missing or malformed arguments. `--help` prints the help and exits with status 0.
    """
    values = _read(model, argv)
    config = values.pop("config", None)
    if config is not None:
        values = {**read_config(model, Path(config)), **values}
    return validate(model, values)


def validate(model: type[M], values: Mapping[str, Any]) -> M:
    """`model` from values. Raises InputError with each invalid field, what was expected and what was found."""
    try:
        arguments = model.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors()
        missing = any(fault["type"] == "missing" for fault in faults) and "Example:" in (model.__doc__ or "")
        hint = "; --help shows an example" if missing else ""
        raise InputError("; ".join(_explain(model, fault) for fault in faults) + hint) from None
    for name, value in arguments:
        paths = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, Path)]
        if any("\0" in str(path) for path in paths):
            raise InputError(f"--{name} contains a NUL character, which a path cannot contain")
    return arguments


def read_config(model: type[Arguments], path: Path) -> dict[str, Any]:
    """The arguments in a YAML file, with the names of the command line without dashes."""
    values = read_yaml(path, "--config", "names and values, like `timeout: 600`")
    named: dict[str, Any] = {}
    for given, value in values.items():
        name = model.aliases.get(given, given)
        field = model.model_fields.get(name)
        if field is None:
            raise InputError(f"--config {path}: {_unknown(model, str(given))}")
        if name in named:
            raise InputError(f"--config {path} contains {name} twice, once as {given}; use it once")
        named[name] = _value(name, value, field) if isinstance(value, str) else value
    return named


def _read(model: type[Arguments], argv: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    items, before = list(argv), ""
    while items:
        item = items.pop(0)
        if item in ("-h", "--help"):
            print(help_text(model), end="")
            sys.exit(0)
        if not item.startswith("-") and model.positional not in (None, *values):
            item, items = f"--{model.positional}", [item, *items]
        if not item.startswith("--"):
            raise InputError(f"unexpected argument {item!r}; {_meant(before, values.get(before), item)}")
        name, equals, text = item[2:].partition("=")
        name = model.aliases.get(name, name)
        if name == "config":
            if "config" in values:
                raise InputError("--config was given twice; put all arguments into one file")
            values["config"] = text if equals else items.pop(0) if items else ""
            if not values["config"]:
                raise InputError("--config needs a value: a YAML file")
            continue
        field = model.model_fields.get(name)
        if field is None:
            raise InputError(_unknown(model, name))
        if not equals:
            bare = _is_boolean(field) and not (items and isinstance(_value(name, items[0], field), bool | None))
            if bare and items and not items[0].startswith("-"):  # must be a value: every argument has a name
                raise InputError(f"--{name}: expected True or False, got {items[0]!r}")
            if not bare and not items:
                raise InputError(f"--{name} needs a value")
            text = "True" if bare else items.pop(0)
        if name in values:
            raise InputError(f'--{name} was given twice; pass it once (several values as a list, \'["a", "b"]\')')
        values[name] = _value(name, text, field)
        before = name
    return values


def _meant(name: str, value: Any, item: str) -> str:
    """What to write instead of `item`, which follows the argument `name` without a name of its own."""
    if isinstance(value, list) and not item.startswith("-"):
        return f"pass several values as one list: --{name} '{json.dumps([*value, item], ensure_ascii=False)}'"
    return "every argument has the form --name value (--help lists all)"


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def _value(name: str, text: str, field: FieldInfo) -> Any:
    kinds = _kinds(field.annotation)
    if type(None) in kinds and str not in kinds and text in ("None", "null"):
        return None
    if bool in kinds and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    structured = [kind for kind in kinds if kind in (list, tuple, dict)]
    if not text and (structured or Path in kinds):
        # Path("") is the current folder; an unset shell variable must not select it.
        raise InputError(f"--{name} needs a value, got an empty string")
    if not structured:
        return text
    is_list = dict not in structured
    if is_list and not text.lstrip().startswith(("[", "(")):
        return text.split(",") if _holds_integers(field.annotation) else [text]
    return parse_structure(
        f"--{name}", text, 'a list such as \'["a", "b"]\'' if is_list else "an object such as '{\"a\": 1}'"
    )


def parse_structure(what: str, text: str, expected: str) -> Any:
    """Parse a list or an object written as JSON or as a Python literal."""
    try:
        return json.loads(text, object_pairs_hook=object_without_repeats)
    except (json.JSONDecodeError, RecursionError) as error:
        fault = error
    except ValueError as error:
        raise InputError(f"{what}: {error}") from None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise InputError(f"{what}: expected {expected} in JSON, got {shown} ({fault})") from None


def _kinds(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return set().union(*(_kinds(part) for part in get_args(annotation)))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _kinds(get_args(annotation)[0])
    if origin is Literal:
        return {type(choice) for choice in get_args(annotation)}
    return {origin or annotation}


def _holds_integers(annotation: Any) -> bool:
    """Whether the annotation is a list of integers. Only these may be separated by commas; names can contain commas."""
    if get_origin(annotation) is list:
        return int in _kinds(get_args(annotation)[0])
    return any(_holds_integers(part) for part in get_args(annotation))


def _is_boolean(field: FieldInfo) -> bool:
    return bool in _kinds(field.annotation)


def _unknown(model: type[BaseModel], name: str) -> str:
    known = list(model.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    passed_on = " or ".join(f"--{each}" for each in ("train_kwargs", "eval_kwargs") if each in known)
    hint = f". An argument of an intervention goes into {passed_on}: '{{\"{name}\": ...}}'" if passed_on else ""
    if near:
        return f"unknown argument --{name}; did you mean --{near[0]}? (--help lists all){hint}"
    if hint:
        return f"unknown argument --{name} (--help lists all){hint}"
    return f"unknown argument --{name}. Known: {', '.join(f'--{each}' for each in known)}"


_EXPECTED = {
    "bool_parsing": "expected True or False",
    "bool_type": "expected True or False",
    "dict_type": "expected a JSON object such as '{{\"seed\": 1}}'",
    "int_parsing": "expected a whole number",
    "float_parsing": "expected a number",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "literal_error": "expected {expected}",
}
"""Messages, by pydantic's error type, in place of messages that use terms of Python."""


def _explain(model: type[BaseModel], fault: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"--{location} is required"
    if fault["type"] == "extra_forbidden":
        return _unknown(model, location)
    if fault["type"] == "value_error" and not location:
        return str(fault["ctx"]["error"])
    if len(fault["loc"]) == 2 and isinstance(fault["loc"][1], int):
        location = f"{fault['loc'][0]}, item {fault['loc'][1]}"
    shown = repr(fault["input"])
    template, hint = _EXPECTED.get(fault["type"]), ""
    expected = template.format(**fault.get("ctx", {})) if template else fault["msg"]
    if fault["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", expected)
        near = difflib.get_close_matches(str(fault["input"]), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"--{location}: {expected}, got {shown if len(shown) <= 80 else shown[:77] + '...'}{hint}"


def help_text(model: type[BaseModel]) -> str:
    """The `--help` text: the model's docstring, then each argument with its field doc and default."""
    parser = argparse.ArgumentParser(
        description=spelled(inspect.cleandoc(model.__doc__ or "")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        usage=f"{_started_as()} --name value ...".replace("%", "%%") if sys.argv[0] else None,
    )
    required = parser.add_argument_group("required")
    optional = parser.add_argument_group("optional")
    for name in in_order(model):
        field = model.model_fields[name]
        group = required if field.is_required() else optional
        described = field.description or ""
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if default not in (None, [], {}) and "(default: " not in described:
            described += f" (default: {default})"
        group.add_argument(f"--{name}", metavar=_metavar(field), help=spelled(described).replace("%", "%%"))
    optional.add_argument("--config", metavar="FILE", help="YAML file with these names; the command line overrides it")
    optional.add_argument("--help", action="store_true", help="show this help")
    return parser.format_help()


def in_order(model: type[BaseModel]) -> list[str]:
    """The names of the arguments in the order of the help."""
    bases = [each for each in model.__mro__[1:] if issubclass(each, Arguments) and vars(each).get("listed_last")]
    last = {name for each in bases for name in each.model_fields}
    return sorted(model.model_fields, key=lambda name: name in last)


def _started_as() -> str:
    return sys.argv[0] if started_as_genies() else f"python {sys.argv[0]}"


def _metavar(field: FieldInfo) -> str:
    kinds = _kinds(field.annotation)
    for kind, shown in (
        (list, "N,N,.." if _holds_integers(field.annotation) else "'[\"..\", ..]'"),
        (dict, "'{\"..\": ..}'"),
        (bool, "True|False"),
        (int, "N"),
        (float, "X"),
    ):
        if kind in kinds:
            return shown
    for part in (field.annotation, *get_args(field.annotation)):
        if get_origin(part) is Literal:
            return "|".join(str(choice) for choice in get_args(part))
    return "PATH" if Path in kinds else "TEXT"
