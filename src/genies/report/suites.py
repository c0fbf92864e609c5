"""The suites of a study: groups of shifts that come from one place and are never averaged together."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from genies import spreadsheets
from genies.data.distribution import Distribution
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.report.published import official_distributions
from genies.report.study import Study

GENIES, STARTER, OTHER = "GENIES", "Starter suite", "Other shifts"
ALONE = "targets alone"
_STARTER_PREFIX = "starter_"


@dataclass(frozen=True)
class Suite:
    """The part of a study that is about one suite."""

    name: str
    study: Study


def suites(study: Study, distributions_dir: Path | None = None) -> list[Suite]:
    """The suites of a study, in order of first occurrence.

    An imported suite is known from the metadata of its distributions, so without `distributions_dir` its shifts are
    with the other shifts. Targets without a source are a part of their own, because only interventions that tune
    nothing can have them. The readings and notes of each part are those of the whole study.
    """
    imported = _imported_suites(distributions_dir)
    parts: dict[str, list[Shift]] = {}
    every = list(dict.fromkeys(each.shift for each in study.shifts))
    both = any(shift.source for shift in every)
    for shift in every:
        name = suite_of(shift, imported)
        parts.setdefault(name if shift.source or not both else f"{name}, {ALONE}", []).append(shift)
    return [
        Suite(name, replace(study, shifts=[each for each in study.shifts if each.shift in members]))
        for name, members in ((name, frozenset(shifts)) for name, shifts in parts.items())
    ]


def suite_of(shift: Shift, imported: Callable[[str], str | None]) -> str:
    """The suite of a shift. `imported` returns the suite in the metadata of a distribution, or None."""
    name = imported(shift.target)
    if name is not None:
        return name
    if shift.source.startswith(_STARTER_PREFIX) or shift.target.startswith(_STARTER_PREFIX):
        return STARTER
    official = official_distributions()
    return GENIES if {shift.source or shift.target, shift.target, shift.target_reference} <= official else OTHER


def _imported_suites(distributions_dir: Path | None) -> Callable[[str], str | None]:
    @cache
    def of(distribution: str) -> str | None:
        if distributions_dir is None:
            return None
        try:
            name = Distribution(distributions_dir / distribution).metadata.get("suite")
        except InputError:
            return None
        return name if isinstance(name, str) and name else None

    return of


def joined_csv(texts: Sequence[tuple[str, str]]) -> str:
    """The CSV of several suites as one, with the suite in the last column; that of a single suite is unchanged."""
    if len(texts) == 1:
        return texts[0][1]
    lines = [
        {**{column: spreadsheets.as_written(field) for column, field in row.items()}, "suite": name}
        for name, text in texts
        for row in csv.DictReader(io.StringIO(text))
    ]
    names = [*dict.fromkeys(column for line in lines for column in line if column != "suite"), "suite"]
    return spreadsheets.to_csv(names, [{column: line.get(column) for column in names} for line in lines])


def joined_json(texts: Sequence[tuple[str, str]]) -> str:
    """The JSON of several suites as a list of objects with their names; that of a single suite is unchanged."""
    if len(texts) == 1:
        return texts[0][1]
    value = {"suites": [{"suite": name, **json.loads(text)} for name, text in texts]}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
