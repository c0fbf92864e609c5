"""The heat map of shifts and interventions: a table whose colours show differences from the baseline."""

from __future__ import annotations

from typing import Any

from genies.data.shifts import Shift
from genies.report.cells import Cell, Entry, Grid
from genies.report.origins import short_facts
from genies.report.pages import p_value, signed, three
from genies.report.shift_page import shift_page_name
from genies.report.verdicts import tests_of

STEPS = (0.02, 0.08, 0.16, 0.26, 0.38)
"""Differences from the baseline at which the colour changes."""


def heat_class(difference: float | None, direction: str) -> str:
    """u1 to u5 for significantly above, d1 to d5 for below, h0 for not significant, plain if not tested.

    direction: up, down, level or untested, from genies.report.verdicts.direction. The number is the size.
    """
    if difference is None or direction == "untested":
        return "plain"
    if direction == "level":
        return "h0"
    depth = max(1, sum(abs(difference) >= step for step in STEPS))
    return f"{direction[0]}{depth}"


def heat_map(grid: Grid) -> dict[str, Any]:
    """Rows of cells in groups by label and category, and the lines of each cell's tooltip."""
    details: list[list[str]] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for shift in grid.shifts:
        groups.setdefault(category_title(shift), []).append(
            {
                "shift": shift,
                "href": shift_page_name(shift),
                "cells": [_cell(grid, entry, shift, details) for entry in grid.entries],
            }
        )
    return {
        "entries": [
            {"name": entry.intervention, "model": entry.base_model if len(grid.models) > 1 else ""}
            for entry in grid.entries
        ],
        "groups": [{"title": title, "rows": rows} for title, rows in groups.items()],
        "details": details,
        "tests": tests_of(cell.verdict.against_baseline for cell in grid.cells.values()),
        "tested": sum(bool(tests_of([cell.verdict.against_baseline])) for cell in grid.cells.values()),
        "holes": sum(cell.hole is not None for cell in grid.cells.values()),
    }


def category_title(shift: Shift) -> str:
    """The heading of a shift's group; empty if the shift file has no label and category."""
    return ", ".join(part.replace("_", " ") for part in (shift.label, shift.category) if part)


def _cell(grid: Grid, entry: Entry, shift: Shift, details: list[list[str]]) -> dict[str, Any]:
    cell = grid.cells.get((entry, shift))
    details.append(_detail(grid, entry, shift, cell))
    missing = cell is None or cell.accuracy is None
    return {
        "kind": "hole" if cell is None or missing else heat_class(cell.difference, cell.verdict.direction),
        "text": "" if cell is None or cell.accuracy is None else f"{cell.accuracy:.2f}",
        "reason": details[-1][2] if missing else "",
        "verified": cell is None or cell.verified,
        "detail": len(details) - 1,
    }


def _detail(grid: Grid, entry: Entry, shift: Shift, cell: Cell | None) -> list[str]:
    title = f"{grid.name(entry)}: {shift.source} → {shift.target}"
    if cell is None:
        return [title, "not requested", "No table of this study contains this intervention with this shift."]
    if cell.accuracy is None:
        return [title, "no value", cell.hole or ""]
    lines = []
    if cell.interval is not None:
        lines.append(f"95 % interval {three(cell.interval.low)} to {three(cell.interval.high)}, {cell.interval.method}")
    else:
        lines.append(f"no interval: {cell.summary.estimate('generalization_accuracy').missing}")
    if cell.baseline is not None:
        where = _left_out(cell)
        lines.append(f"{signed(cell.difference)} against the baseline, {three(cell.baseline)}{where}{_verdict(cell)}")
    elicitation = cell.summary.estimate("differential_elicitation")
    if elicitation.value is not None:
        lines.append(f"differential elicitation {signed(elicitation.value)}")
    counts = [
        f"{count:,} {what}"
        for count, what in ((cell.summary.examples, "examples"), (cell.summary.pairs, "pairs"))
        if count is not None
    ]
    seeds = len(cell.evaluated)
    counts.append("1 seed" if seeds == 1 else f"{seeds} seeds")
    lines.append(", ".join(counts))
    lines += list(dict.fromkeys(short_facts(reading) for reading in cell.evaluated))[:3]
    return [title, three(cell.accuracy), *lines]


def _left_out(cell: Cell) -> str:
    """How many test examples the difference is not about."""
    difference = cell.verdict.against_baseline
    left_out = difference.left_out if difference else 0
    return f" (difference without {left_out:,} examples that only one was tested on)" if left_out else ""


def _verdict(cell: Cell) -> str:
    """The result of the test of a cell against the baseline."""
    difference = cell.verdict.against_baseline
    if difference is None or difference.adjusted_p_value is None:
        reason = difference.reason if difference else ""
        return "" if cell.verdict.is_baseline else f"; not tested{': ' if reason else ''}{reason}"
    words = "not significant" if difference.verdict == "not significant" else f"significantly {difference.verdict}"
    return f"; {words} (p {p_value(difference.adjusted_p_value)}, {difference.test}; Holm)"
