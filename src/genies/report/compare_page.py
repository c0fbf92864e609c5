"""The page that sets two interventions side by side: every two of a base model, for its script to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from genies.data.shifts import Shift
from genies.report.browser import Browser, evaluation_key
from genies.report.cells import Entry, Grid
from genies.report.comparing import ShiftComparison, StudyComparison, compare_interventions
from genies.report.heat import heat_class
from genies.report.pages import Site
from genies.report.shift_page import shift_page_name
from genies.report.study import Study

PAGE = "compare.html"

Pairs = Mapping[tuple[Entry, Entry], StudyComparison]
"""Every two entries of one base model, the one that stands first in the grid first."""


def write_compare_page(site: Site, study: Study, grid: Grid, browser: Browser) -> None:
    pairs = {
        (one, other): compare_interventions(study, one.base_model, one.intervention, other.intervention)
        for one, other in combinations(grid.entries, 2)
        if one.base_model == other.base_model
    }
    models = []
    for model in grid.models:
        entries = [entry for entry in grid.entries if entry.base_model == model]
        if len(entries) > 1:
            models.append((model, entries))
    site.page(
        "compare.html",
        PAGE,
        "compare",
        models=[
            {
                "name": model,
                "entries": [entry.intervention for entry in entries],
                "matrix": [_matrix_row(entry, entries, pairs) for entry in entries],
            }
            for model, entries in models
        ],
        shifts=len(grid.shifts),
        data={
            "shifts": [_shift(shift, browser) for shift in grid.shifts],
            "models": [_model(grid, model, entries, pairs) for model, entries in models],
        },
    )


def _shift(shift: Shift, browser: Browser) -> dict[str, Any]:
    sampled = browser.sampled.get(shift.target)
    test = [] if sampled is None else [split["shards"] for split in sampled.splits if split["name"] == "test"]
    return {
        "source": shift.source,
        "target": shift.target,
        "page": shift_page_name(shift),
        "file": sampled.file if sampled is not None and sampled.scores and test else None,
        "shards": test[0] if test else [],
    }


def _model(grid: Grid, model: str, entries: Sequence[Entry], pairs: Pairs) -> dict[str, Any]:
    return {
        "name": model,
        "names": [entry.intervention for entry in entries],
        "keys": [[_key(grid, entry, shift) for entry in entries] for shift in grid.shifts],
        "pairs": [_numbers(grid, pairs[pair]) for pair in combinations(entries, 2)],
    }


def _key(grid: Grid, entry: Entry, shift: Shift) -> str | None:
    """What the sample browser calls the evaluation of the first seed."""
    cell = grid.cells.get((entry, shift))
    return evaluation_key(cell.evaluated[0]) if cell is not None and cell.evaluated else None


def _numbers(grid: Grid, pair: StudyComparison) -> dict[str, Any]:
    by_shift = {each.shift: each for each in pair.shifts}
    interval = pair.interval
    return {
        "rows": [_row(by_shift.get(shift)) for shift in grid.shifts],
        "mean": None if pair.difference is None else round(pair.difference, 5),
        "interval": None if interval is None else [round(interval.low, 5), round(interval.high, 5)],
        "p": None if pair.p_value is None or len(pair.shifts) < 2 else _short(pair.p_value),
    }


def _row(found: ShiftComparison | None) -> Any:
    """[difference, low, high, p, adjusted p, better in first, better in second, examples]; 0 for a hole."""
    if found is None:
        return 0
    compared = found.comparison
    if compared is None or found.adjusted_p_value is None:
        return [round(found.first - found.second, 5)]
    ends = [None, None] if compared.interval is None else [compared.interval.low, compared.interval.high]
    return [
        round(found.first - found.second, 5),
        *(None if end is None else round(end, 5) for end in ends),
        _short(compared.p_value),
        _short(found.adjusted_p_value),
        compared.first_only,
        compared.second_only,
        compared.examples,
    ]


def _short(p_value: float) -> float:
    return float(f"{p_value:.3g}")


def _matrix_row(entry: Entry, entries: Sequence[Entry], pairs: Pairs) -> dict[str, Any]:
    """Row minus column for every other intervention of the base model; None for the intervention itself."""
    cells: list[dict[str, Any] | None] = []
    for other in entries:
        if other == entry:
            cells.append(None)
            continue
        pair, sign = (pairs[entry, other], 1) if (entry, other) in pairs else (pairs[other, entry], -1)
        ends = [] if pair.interval is None else sorted((sign * pair.interval.low, sign * pair.interval.high))
        mean = None if pair.difference is None else sign * pair.difference
        cells.append(
            {
                "mean": mean,
                "ends": ends,
                "told_apart": bool(ends) and (ends[0] > 0 or ends[1] < 0),
                "kind": heat_class(mean),
                "other": other.intervention,
            }
        )
    return {"name": entry.intervention, "cells": cells}
