"""The heat map of shifts and interventions: a table whose colours show differences from the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genies.data.shifts import Shift
from genies.report.browser import Browser, group_key
from genies.report.cells import Cell, Entry, Grid
from genies.report.figures import BASELINE, CAPABILITY, MAIN
from genies.report.origins import short_facts
from genies.report.pages import p_value, shift_page_name, short_signed, signed, three
from genies.report.palette import STEPS
from genies.report.summary import Group
from genies.report.verdicts import tests_of


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


def heat_maps(grid: Grid, browser: Browser, whole: Group) -> dict[str, Any]:
    """A heat map for each base model, and what their captions say about the tests of all cells.

    whole: the means over all shifts of the grid.
    """
    tested = [cell.verdict.against_baseline for cell in grid.cells.values()]
    return {
        "maps": [_heat_map(grid, model, browser, whole) for model in grid.models],
        "steps": STEPS,
        "tests": tests_of(tested),
        "tested": sum(bool(tests_of([each])) for each in tested),
        "holes": sum(cell.hole is not None for cell in grid.cells.values()),
        "unverified": not all(cell.verified for cell in grid.cells.values()),
    }


def _heat_map(grid: Grid, model: str, browser: Browser, whole: Group) -> dict[str, Any]:
    """Rows of cells in groups by label and category, the mean row, and the lines of each cell's tooltip."""
    entries = _entries(grid, model)
    details: list[list[str]] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for shift in grid.shifts:
        row = {
            "shift": shift,
            "href": shift_page_name(shift),
            "cells": [_cell(grid, entry, shift, details, browser) for entry in entries],
            "capability": _capability(grid, model, shift),
        }
        groups.setdefault(category_title(shift), []).append(row)
    return {
        "model": model,
        "entries": [entry.intervention for entry in entries],
        "groups": [{"title": title, "rows": rows} for title, rows in groups.items()],
        "mean": _means(whole, model, entries),
        "details": details,
    }


def _entries(grid: Grid, model: str) -> list[Entry]:
    return [entry for entry in grid.entries if entry.base_model == model]


def _means(whole: Group, model: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """The mean row of a base model. Only means over all shifts are shown, because others are not comparable."""
    by_name = {mean.intervention: mean for mean in whole.means if mean.base_model == model and mean.shifts == mean.of}
    cells = []
    capabilities = []
    for entry in entries:
        mean = by_name.get(entry.intervention)
        value = None if mean is None else mean.estimates[MAIN.name].value
        if mean is None or value is None:
            cells.append({"kind": "plain", "accuracy": "", "difference": "", "differs": False})
            continue
        tested = mean.verdict.against_baseline
        baseline = mean.estimates[BASELINE.name].value
        difference = tested.value if tested else None if baseline is None else value - baseline
        cells.append(_shown(value, difference, mean.verdict.direction, mean.verdict.is_baseline))
        capabilities.append(mean.estimates[CAPABILITY.name].value)
    known = next((value for value in capabilities if value is not None), None)
    return {"cells": cells, "capability": "" if known is None else f"{known:.2f}"}


def _shown(accuracy: float, difference: float | None, direction: str, is_baseline: bool) -> dict[str, Any]:
    return {
        "kind": heat_class(difference, direction),
        "accuracy": f"{accuracy:.2f}",
        "difference": "0" if is_baseline else "" if difference is None else short_signed(difference),
        "differs": direction in ("up", "down"),
    }


def _capability(grid: Grid, model: str, shift: Shift) -> str:
    """The target-tuned capability on a shift; with several references, that of the first intervention."""
    cells = (grid.cells.get((entry, shift)) for entry in _entries(grid, model))
    values = (cell.value(CAPABILITY.name) for cell in cells if cell is not None)
    return next((f"{value:.2f}" for value in values if value is not None), "")


def category_title(shift: Shift) -> str:
    """The heading of a shift's group; empty if the shift file has no label and category."""
    return ", ".join(part.replace("_", " ") for part in (shift.label, shift.category) if part)


def _cell(grid: Grid, entry: Entry, shift: Shift, details: list[list[str]], browser: Browser) -> dict[str, Any]:
    cell = grid.cells.get((entry, shift))
    details.append(_detail(grid, entry, shift, cell))
    common = {"detail": len(details) - 1, "reason": "", "verified": cell is None or cell.verified}
    if cell is None or cell.accuracy is None:
        return {**common, "kind": "hole", "accuracy": "", "reason": details[-1][2]}
    shown = _shown(cell.accuracy, cell.difference, cell.verdict.direction, cell.verdict.is_baseline)
    return {**common, **shown, "href": _samples(cell, browser) or shift_page_name(shift)}


def _samples(cell: Cell, browser: Browser) -> str | None:
    """The samples of a cell's first evaluation, compared with the untuned model; None if they are not in the report."""
    evaluated = next(iter(cell.evaluated), None)
    if evaluated is None or not evaluated.evaluation.eval_probabilities:
        return None
    baseline = next((each.baseline for each in cell.seeds if each.baseline is not None), None)
    against = None if baseline is None or baseline is evaluated else group_key(baseline)
    return browser.link(cell.shift.target, a=group_key(evaluated), b=against)


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
    if not cell.summary.is_comparable:
        lines.append("accuracy of single responses, not compared")
    elif cell.baseline is not None:
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
