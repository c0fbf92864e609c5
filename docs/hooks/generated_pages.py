"""An MkDocs hook: pages made from the code and from files outside docs/, so that they cannot differ from them.

Command lines come from the argument models that also make `--help`, the evaluation file from its model, the audit
rules from their list. The changelog and the benchmarks are included as they are.
"""

from __future__ import annotations

import html
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from genies import command_line
from genies.command_line import Arguments, in_order
from genies.data.audit.finding import INFORMATION, MEANINGS
from genies.evaluation_file import Evaluation

ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def pages() -> dict[str, str]:
    """Markdown of each generated page, by its path in docs/."""
    return {
        "reference/commands.md": commands_page(),
        "reference/interventions.md": interventions_page(),
        "reference/evaluation.md": evaluation_page(),
        "reference/audit.md": audit_page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "benchmarks.md": (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"),
    }


def command_scripts() -> list[Path]:
    """Every command of the project: a script that runs a main function with a model of arguments."""
    scripts = [*sorted((ROOT / "api").glob("*.py")), ROOT / "download_data.py", ROOT / "download_model_from_hf.py"]
    return [script for script in scripts if '__name__ == "__main__"' in script.read_text(encoding="utf-8")]


def intervention_scripts() -> dict[str, list[Path]]:
    """train.py and eval.py of each intervention, by name."""
    folders = sorted(each.parent for each in (ROOT / "src" / "interventions").glob("*/train.py"))
    return {folder.name: [folder / "train.py", folder / "eval.py"] for folder in folders}


def commands_page() -> str:
    parts = [
        "# Commands",
        "Run every command at the project root. This page is generated from the same field descriptions as `--help`. "
        "Every argument is `--name value`; lists and objects are JSON; a boolean argument may also be given without "
        "a value. `--config FILE` reads any of a command's arguments from a YAML file; the command line overrides it. "
        "The console script `genies` runs the same commands [without a checkout](../library.md#without-a-checkout).",
    ]
    for script in command_scripts():
        model = arguments_of(script)
        text, example = described(model)
        parts += [f"## {script.relative_to(ROOT).as_posix()}", text]
        if example:
            parts.append(f"```bash\n{example}\n```")
        parts.append(argument_list(model, in_order(model)))
    return "\n\n".join(parts) + "\n"


def interventions_page() -> str:
    models = {name: [arguments_of(script) for script in pair] for name, pair in intervention_scripts().items()}
    shared = shared_groups([model for pair in models.values() for model in pair])
    parts = [
        "# Intervention arguments",
        "Pass these through `--train_kwargs` and `--eval_kwargs`, for example `--train_kwargs '{\"seed\": 1}'`. This "
        "page is generated from the field descriptions of each script; `python src/interventions/mms/train.py --help` "
        "prints the same. Arguments that several scripts share are listed once, under their group.",
    ]
    for name, pair in models.items():
        parts.append(f"## {name}")
        for script, model in zip(("train.py", "eval.py"), pair, strict=True):
            own, groups = own_and_shared(model, shared)
            links = ", ".join(f"[{group.__name__}](#{group.__name__.lower()})" for group in groups)
            summary = described(model)[0].split("\n\n")[0]
            parts.append(f"**{script}**: {summary}" + (f" Shared arguments: {links}." if links else ""))
            if own:
                parts.append(argument_list(model, own))
    parts.append("## Shared arguments")
    for group in shared:
        parts += [f"### {group.__name__}", described(group)[0], argument_list(group, declared(group))]
    return "\n\n".join(parts) + "\n"


def shared_groups(models: Sequence[type[Arguments]]) -> list[type[Arguments]]:
    """The classes above the models that declare arguments, in the order in which they are first met."""
    above = [base for model in models for base in model.__mro__ if issubclass(base, Arguments)]
    counts = {base: above.count(base) for base in dict.fromkeys(above)}
    return [base for base, count in counts.items() if declared(base) and count > 1]


def own_and_shared(
    model: type[Arguments], shared: Sequence[type[Arguments]]
) -> tuple[list[str], list[type[Arguments]]]:
    """The names of the arguments that only this model describes, and the groups that describe the others."""
    groups = [base for base in model.__mro__ if base in shared]
    elsewhere: dict[str, type[Arguments]] = {}
    for base in model.__mro__:
        if issubclass(base, Arguments):
            for name in declared(base):
                elsewhere.setdefault(name, base)
    return [name for name in model.model_fields if elsewhere[name] not in shared], groups


def declared(model: type[Arguments]) -> list[str]:
    """The arguments that a class declares itself, not those above it."""
    return [name for name in inspect.get_annotations(model) if name in model.model_fields]


def evaluation_page() -> str:
    lines = ["| key | required | meaning |", "|---|---|---|"]
    for name, field in Evaluation.model_fields.items():
        lines.append(f"| `{name}` | {'yes' if field.is_required() else ''} | {cell(field.description or '')} |")
    head = (
        "# Evaluation file\n\nAn `eval.py` writes one JSON object for each distribution. Unknown keys are kept. Every "
        "known key is checked; NaN, infinity and numbers out of range are refused.\n\n"
    )
    return head + "\n".join(lines) + "\n"


def audit_page() -> str:
    lines = ["| rule | level | what is counted |", "|---|---|---|"]
    for rule, meaning in MEANINGS.items():
        lines.append(f"| `{rule.value}` | {'information' if rule in INFORMATION else 'defect'} | {cell(meaning)} |")
    return "# Audit rules\n\nThe rules of `api/check_distributions.py`.\n\n" + "\n".join(lines) + "\n"


def argument_list(model: type[BaseModel], names: Sequence[str]) -> str:
    """A definition list: each argument with its kind of value and its default, then its meaning."""
    entries = []
    for name in names:
        field = model.model_fields[name]
        shown = f"`--{name}` *{html.escape(command_line._metavar(field))}*"
        entries.append(f"{shown}{default(field)}\n:   {prose(field.description or '')}")
    return "\n\n".join(entries)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required)"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, {}, []) else f" (default `{value}`)"


def prose(text: str) -> str:
    """A description as Markdown: argument names as code; every other mark keeps its place as text."""
    text = re.sub(r"([*_<>{}])", lambda mark: f"&#{ord(mark[1])};", text)
    names = re.compile(r"(?<![\w`/-])--[a-z0-9](?:[a-z0-9-]|&#95;)*")
    return names.sub(lambda found: f"`{html.unescape(found[0])}`", text)


def cell(text: str) -> str:
    """A description as one cell of a Markdown table."""
    return prose(" ".join(text.split())).replace("|", "&#124;")


def described(model: type[BaseModel]) -> tuple[str, str]:
    """A model's docstring without its example, and the example as one shell command."""
    before, marker, after = inspect.cleandoc(model.__doc__ or "").partition("Example:\n")
    if not marker:
        return prose(before), ""
    example, _, rest = after.partition("\n\n")
    command = " \\\n  ".join(line.strip() for line in example.splitlines())
    return "\n\n".join(prose(part.strip()) for part in (before, rest) if part.strip()), command


def arguments_of(script: Path) -> type[Arguments]:
    """The model of a script's command line: the annotation of the function that it runs."""
    module = loaded(script)
    found = [model for _, function in functions(module) for model in annotated(function)]
    models = list(dict.fromkeys(found))
    if len(models) != 1:
        raise LookupError(f"{script}: expected one model of arguments, found {[each.__name__ for each in models]}")
    return models[0]


def functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in vars(module).items():
        own = inspect.isfunction(value) and value.__module__.startswith((module.__name__, "genies.commands."))
        if own and name in ("main", "train", "evaluate"):
            yield name, value


def annotated(function: Callable[..., Any]) -> Iterator[type[Arguments]]:
    for name, kind in get_type_hints(function).items():
        if name != "return" and isinstance(kind, type) and issubclass(kind, Arguments):
            yield kind


def loaded(script: Path) -> ModuleType:
    """A script as a module, under a name of its own: every intervention has a train.py."""
    name = "_".join(script.relative_to(ROOT).with_suffix("").parts)
    before = list(sys.path)
    sys.path[:0] = [str(script.parent), str(ROOT)]  # as Python does for a script it runs
    try:
        spec = importlib.util.spec_from_file_location(f"documented_{name}", script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module
