"""The tables of a request, one for each base model and intervention and, with several, a combined one."""

from __future__ import annotations

import os
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genies.data.leaks import Leaks, Remainder
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.files import write_text
from genies.harness.plan import Plan, Row
from genies.table.rows import TableRow, best_reference, table_row
from genies.table.text import to_csv


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
    """InputError, before anything runs, for a table that cannot be written. Makes its folder."""
    check_names_of_tables(tables)
    for table in tables:
        table.path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(table.path.parent, os.W_OK):
            raise InputError(f"--output_path {table.path}: the folder {table.path.parent} is not writable")


def check_names_of_tables(tables: Collection[Table]) -> None:
    """InputError for a table whose path is taken, or is not that of a CSV file; writes nothing."""
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
        if table.path.suffix.lower() != ".csv":
            raise InputError(
                f"--output_path {table.path}: expected a name that ends in .csv, by which tables and reports find it"
            )
        above = next(each for each in table.path.parents if each.exists())
        if not above.is_dir():
            raise InputError(f"--output_path {table.path}: {above} is a file; expected a folder")


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


def make_table(
    rows: Sequence[Row], plan: Plan, evaluations: Mapping[Path, Evaluation], leaks: Leaks | None = None
) -> list[TableRow]:
    """A row for each of `rows`, in their order; a metric without its evaluation is None.

    With `leaks`, test examples are excluded that leak from the train split that the model was tuned on; for the
    baseline on the target, those that leak from the source.
    """
    return [_table_row(row, plan, evaluations, leaks) for row in rows]


def _table_row(row: Row, plan: Plan, evaluations: Mapping[Path, Evaluation], leaks: Leaks | None) -> TableRow:
    def rest(path: Path | None, trained_on: str, optional: bool = False) -> Remainder:
        evaluation = None if path is None else evaluations.get(path)
        if path is None or evaluation is None or leaks is None or not trained_on:
            return Remainder(evaluation, None)
        name = f"{path.parent.parent.name}, {path.parent.name}, on {path.stem}"
        return leaks.remainder(evaluation, trained_on, path.stem, name, optional)

    shift = row.shift
    generalization = rest(row.generalization, shift.source)
    references = {name: rest(path, shift.target_reference).evaluation for name, path in row.capability.items()}
    capability_intervention, capability = best_reference(references, plan.capability_intervention)
    made = table_row(
        shift,
        base_model=row.model,
        intervention=row.intervention,
        seed=row.seed,
        baseline_intervention=plan.baseline_intervention,
        capability_intervention=capability_intervention,
        generalization=generalization.evaluation,
        source_id=rest(row.source_id, shift.source).evaluation,
        baseline=rest(row.baseline, shift.source).evaluation,
        capability=capability,
        baseline_source=rest(row.baseline_source, shift.source, optional=True).evaluation,
        baseline_reference=rest(row.baseline_reference, shift.target_reference, optional=True).evaluation,
    )
    return replace(made, leaked_pairs=generalization.left_out)
