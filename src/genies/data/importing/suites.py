"""A suite: the distributions into which the values of a column divide preference data, and the shifts between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from genies.data.importing.sources import Source
from genies.errors import InputError

MAX_PARTS = 200
"""Maximum number of distributions of a suite."""


def parts_of(source: Source, split_by: str, folder: Path) -> dict[str | None, Path]:
    """The folder of each value of the column `split_by`, in the order of their names: <folder>_<value>.

    Raises InputError for an unknown column, too many values, and two values with one name.
    """
    if split_by not in source.columns:
        raise InputError(
            f"--split_by {split_by}: the data has no such column; it has {', '.join(source.columns)[:500]}"
        )
    values: set[str] = set()
    for row in source.rows([split_by]):
        if isinstance(row.values, dict) and row.values.get(split_by) is not None:
            values.add(str(row.values[split_by]))
            if len(values) > MAX_PARTS:
                raise InputError(
                    f"--split_by {split_by}: more than {MAX_PARTS} different values; choose another column"
                )
    by_name: dict[str, str] = {}
    for value in sorted(values):
        name = f"{folder.name}_{slug(value)}"
        if name in by_name:
            raise InputError(f"--split_by {split_by}: {by_name[name]!r} and {value!r} would both be named {name}")
        by_name[name] = value
    return {value: folder.with_name(name) for name, value in by_name.items()}


def slug(value: str) -> str:
    """A value as part of a folder's name.

    >>> slug("Precise IF"), slug("Helpfulness/Open QA")
    ('precise_if', 'helpfulness_open_qa')
    """
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_") or "other"


def suite_shifts(names: Sequence[str], sources: Sequence[str]) -> list[dict[str, str]]:
    """A shift from every source to every other distribution of a suite; without sources, every one as a target alone.

    >>> suite_shifts(["a", "b"], ["b"]), suite_shifts(["a", "b"], [])
    ([{'source': 'b', 'target': 'a'}], [{'target': 'a'}, {'target': 'b'}])
    """
    if not sources:
        return [{"target": name} for name in names]
    return [{"source": source, "target": name} for source in sources for name in names if name != source]
