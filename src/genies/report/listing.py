"""The shifts of a results folder, read from the tables that the main job wrote."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.files import open_regular
from genies.harness.study import BEST
from genies.names import check_name
from genies.report.study import Reading
from genies.spreadsheets import as_written

_NEEDED = ("source", "target", "target_reference", "baseline_intervention", "target_tuned_capability_intervention")


@dataclass(frozen=True)
class Listed:
    """One line of a table without its values, which are read from the evaluations."""

    shift: Shift
    base_model: str
    intervention: str
    seed: int | None
    baseline: str
    capability: str
    listed: int = 1
    """How often one table contains the line."""
    capability_accuracy: float | None = None
    """The value of target_tuned_capability in the table."""

    def meant_capability(self, candidates: Sequence[Reading]) -> Reading | None:
        """The reference's evaluation: the candidate with the accuracy in the table, otherwise the first."""
        same = [each for each in candidates if each.evaluation.eval_accuracy == self.capability_accuracy]
        return next(iter([*same, *candidates]), None)


def read_tables(results_dir: Path) -> tuple[list[Listed], list[str]]:
    """The distinct lines of all tables in <results_dir>/generalization_metrics, and notes on skipped tables.

    Tables are read in the order of their paths; combined ones, which repeat others, are skipped. A shift in several
    tables counts as often as in the table that lists it most often. Its baseline and reference are those of the first
    table. All lines about a shift have the label and category of the most complete line, or the first of several.
    """
    lines: dict[_Key, Listed] = {}
    labelled: dict[Shift, Shift] = {}
    notes: list[str] = []
    folder = results_dir / "generalization_metrics"
    for path in sorted(folder.rglob("*.csv")):
        if path.name.startswith("combined-"):
            continue
        try:
            read = list(_lines(path, folder))
        except InputError as error:
            notes.append(f"{error}; the table is skipped")
            continue
        counts = Counter(map(_key, read))
        others = set()
        for line in read:
            key = _key(line)
            first = lines.setdefault(key, line)
            if (first.baseline, first.capability) != (line.baseline, line.capability):
                others.add(f"{line.baseline} and {line.capability}")
            lines[key] = replace(first, listed=max(first.listed, counts[key]))
            bare = _bare(line.shift)
            labelled[bare] = max(labelled.get(bare, bare), line.shift, key=_known_parts)
        if others:
            notes.append(
                f"table {path} has {', '.join(sorted(others))} as baseline and reference for shifts that another "
                "table has with different ones; those of the first table are used"
            )
    return [replace(line, shift=labelled[_bare(line.shift)]) for line in lines.values()], notes


def _bare(shift: Shift) -> Shift:
    """The shift without label and category, which is the same from a shift file and from folder arguments."""
    return replace(shift, label=None, category=None)


def _known_parts(shift: Shift) -> int:
    """How many of label and category a shift has."""
    return (shift.label is not None) + (shift.category is not None)


def with_told_capability(lines: Sequence[Listed], results_dir: Path) -> list[Listed]:
    """The lines with the reference's accuracy from a table in the folder if there is one, and for BEST its reference.

    Evaluations alone do not show whether the reference was tuned once for all seeds or with each seed.
    """
    in_tables = {(_key(line), line.baseline): line for line in read_tables(results_dir)[0]}

    def completed(line: Listed) -> Listed:
        found = in_tables.get((_key(line), line.baseline))
        if found is None or line.capability not in (found.capability, BEST):
            return line
        return replace(line, capability=found.capability, capability_accuracy=found.capability_accuracy)

    return [completed(line) for line in lines]


_Key = tuple[str, str, int | None, str, str, str]


def _key(line: Listed) -> _Key:
    shift = line.shift
    return line.base_model, line.intervention, line.seed, shift.source, shift.target, shift.target_reference


def _lines(path: Path, folder: Path) -> Iterator[Listed]:
    # Tables with only the documented columns are identified by their path, <base model>/<intervention>/<name>.csv.
    *_, base_model, intervention = ("", "", *path.parent.relative_to(folder).parts)
    try:
        with open_regular(path, "table") as opened, io.TextIOWrapper(opened, "utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            absent = [name for name in _NEEDED if name not in (reader.fieldnames or [])]
            if absent:
                raise InputError(f"table {path} has no column {', '.join(absent)}")
            rows = [{name: _as_written(field) for name, field in row.items()} for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"table {path} is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise InputError(f"table {path} is not valid CSV: {error}") from None
    except OSError as error:
        raise InputError(f"table {path} cannot be read: {error.strerror}") from None
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"table {path}, line {number}: expected {len(reader.fieldnames or [])} fields")
        yield _line({"intervention": intervention, "base_model": base_model, **row}, f"table {path}, line {number}")


def _as_written(field: Any) -> Any:
    """The text of a field. In a line with too few or too many fields, some are None or a list and are unchanged."""
    return as_written(field) if isinstance(field, str) else field


def _line(row: dict[str, str], where: str) -> Listed:
    def name(column: str) -> str:
        kind = "a model" if column == "base_model" else "an intervention" if "intervention" in column else ""
        return check_name(row[column], f"{where}, {column}", kind or "a distribution")

    seed = row.get("seed", "")
    if seed and not (seed.isascii() and seed.isdecimal()):
        raise InputError(f"{where}, seed: expected a whole number or nothing, got {seed[:40]!r}")
    capability = row.get("target_tuned_capability")
    try:
        accuracy = float(capability) if capability else None
    except ValueError:
        raise InputError(f"{where}, target_tuned_capability: expected a number, got {str(capability)[:40]!r}") from None
    label, category = row.get("label") or None, row.get("category") or None
    for column, text in (("label", label), ("category", category)):
        if text is not None and not text.isprintable():
            raise InputError(f"{where}, {column}: expected text on one line, got {text[:40]!r}")
    return Listed(
        Shift(name("source") if row["source"] else "", name("target"), name("target_reference"), label, category),
        name("base_model"),
        name("intervention"),
        int(seed) if seed else None,
        name("baseline_intervention"),
        name("target_tuned_capability_intervention"),
        capability_accuracy=accuracy,
    )
