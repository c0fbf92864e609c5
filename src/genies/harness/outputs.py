"""The table files of a request: one for each base model and intervention and, with several, a combined one."""

from __future__ import annotations

import os
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from genies.contract import Evaluation
from genies.errors import InputError
from genies.files import write_text
from genies.harness.leaks import Leaks
from genies.harness.plan import Plan, Row
from genies.harness.table import make_table, to_csv


@dataclass(frozen=True)
class Table:
    """A CSV file and the rows of the plan that it contains."""

    path: Path
    rows: list[Row]
    combined: bool = False
    """Whether it repeats the rows of the other tables."""


def plan_tables(plan: Plan, output_path: Path) -> list[Table]:
    """The tables of a plan; {model} and {intervention} in `output_path` are filled in.

    With several tables, the combined one, combined-<file name>, is in the deepest folder without placeholders. Raises
    InputError if two tables would have the same path, and for unknown placeholders.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in plan.rows:
        groups.setdefault((row.model, row.intervention), []).append(row)
    tables = [
        Table(Path(_filled(str(output_path), model, intervention)), rows)
        for (model, intervention), rows in groups.items()
    ]
    # The tables of variants that the plan leaves out are not changed.
    paths = [table.path for table in tables]
    paths += [Path(_filled(str(output_path), row.model, name)) for name in plan.faults for row in plan.rows[:1]]
    if len({*paths}) < len(paths):
        raise InputError(
            f"--output_path {output_path} names one file for {len(paths)} tables; "
            "with several base models write {model} into it, with several interventions {intervention}"
        )
    if len(tables) > 1 and not plan.faults:
        name = _filled(output_path.name, "all", "all")
        fixed = next(parent for parent in output_path.parents if "{" not in str(parent))
        tables.append(Table(fixed / f"combined-{name}", plan.rows, combined=True))
    return tables


def _filled(text: str, model: str, intervention: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise InputError(
            f"--output_path {text}: {error}; braces are allowed only in {{model}} and {{intervention}}"
        ) from None
    if names - {"model", "intervention"}:
        unknown = ", ".join(sorted(names - {"model", "intervention"}))
        raise InputError(f"--output_path {text}: unknown name {unknown!r} in braces; known: model, intervention")
    return text.replace("{model}", model).replace("{intervention}", intervention)


def check_tables(tables: Collection[Table]) -> None:
    """InputError, before anything runs, for a table that cannot be written."""
    for table in tables:
        if table.path.is_dir():
            raise InputError(f"--output_path {table.path} is a folder; expected the name of a CSV file")
        if table.path.exists() and not table.path.is_file():
            raise InputError(f"--output_path {table.path} is a device, a pipe or a socket; expected the name of a file")
        if not _may_be_replaced(table.path):
            raise InputError(
                f"--output_path {table.path} exists and is not a table of generalization metrics; give another name, "
                "or delete it"
            )
        table.path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(table.path.parent, os.W_OK):
            raise InputError(f"--output_path {table.path}: the folder {table.path.parent} is not writable")


def _may_be_replaced(path: Path) -> bool:
    """Whether the path is free, or contains a table or an empty file."""
    if not path.is_file():
        return True
    with open(path, "rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf")
    return not start or start.startswith(b"source,target")


def write_tables(
    tables: Collection[Table],
    plan: Plan,
    evaluations: Mapping[Path, Evaluation],
    done: Collection[Path] | None = None,
    leaks: Leaks | None = None,
) -> None:
    """Write the tables; with `done`, only those with rows from one of these evaluation files.

    With `leaks`, leaked test examples are excluded.
    """
    for table in tables:
        if done is None or any(not row.files.isdisjoint(done) for row in table.rows):
            write_text(table.path, to_csv(make_table(table.rows, plan, evaluations, leaks), leaked=leaks is not None))
