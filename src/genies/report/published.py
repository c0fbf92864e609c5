"""Means published with the 2023 release, shown next to a study of the same 15 shifts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift

_FILE = Path(__file__).resolve().with_name("published_means.json")

DRAWN = "llama-30b"
"""The published model whose means are plotted, the only one with all nine interventions."""


@dataclass(frozen=True)
class Published:
    """The published means."""

    source: str
    columns: list[str]
    """model, intervention, and metrics with the names of the CSV table."""
    rows: list[list[str | float]]

    def value(self, intervention: str, metric: str) -> float | None:
        """The mean of an intervention on the plotted model; None if it was not published."""
        position = self.columns.index(metric)
        for row in self.rows:
            if row[:2] == [DRAWN, intervention]:
                return float(row[position])
        return None


@cache
def _table() -> Any:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def official_distributions() -> frozenset[str]:
    """The names of the distributions in the 56 shifts of the release."""
    return frozenset(_table()["distributions"])


def is_genies(shifts: Iterable[Shift]) -> bool:
    """Whether these are exactly the 15 shifts of GENIES."""
    meant = {tuple(each) for each in _table()["shifts"]}
    return {(shift.source, shift.target, shift.target_reference) for shift in shifts} == meant


def published_for(shifts: Iterable[Shift]) -> Published | None:
    """The published means if these are exactly the shifts they are over; otherwise None."""
    if not is_genies(shifts):
        return None
    table = _table()
    return Published(table["source"], table["columns"], table["rows"])
