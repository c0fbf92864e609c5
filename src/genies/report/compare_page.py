"""The page that compares two interventions. It contains the data of all pairs of each base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from genies.data.shifts import Shift
from genies.metrics.verdict import Difference
from genies.report.browser import Browser, evaluation_key
from genies.report.cells import Entry, Grid
from genies.report.comparing import Comparison, PairedDifferences
from genies.report.heat import heat_class
from genies.report.pages import Site
from genies.report.shift_page import shift_page_name
from genies.report.summary import Summary
from genies.report.verdicts import direction, tests_of

PAGE = "compare.html"

Pairs = Mapping[tuple[Entry, Entry], Comparison]
"""All pairs of entries of one base model, in both orders."""


def write_compare_page(site: Site, summary: Summary, grid: Grid, browser: Browser) -> None:
    pairs = _pairs(summary, grid)
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
        shift_tests=tests_of(found for pair in pairs.values() for _, found in pair.shifts.values()),
        mean_tests=tests_of(pair.mean for pair in pairs.values()),
        data={
            "shifts": [_shift(shift, browser) for shift in grid.shifts],
            "models": [_model(grid, model, entries, pairs) for model, entries in models],
        },
    )


def _pairs(summary: Summary, grid: Grid) -> Pairs:
    """All pairs of interventions of each base model, in both orders, over all shifts."""
    differences = PairedDifferences(summary)
    return {
        (one, other): differences.compare(
            summary.groups[0], (one.base_model, one.intervention), (other.base_model, other.intervention)
        )
        for one, other in permutations(grid.entries, 2)
        if one.base_model == other.base_model
    }


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
        "pairs": [
            [None if one == other else _numbers(grid, pairs[one, other]) for other in entries] for one in entries
        ],
    }


def _key(grid: Grid, entry: Entry, shift: Shift) -> str | None:
    """The key of the first seed's evaluation in the sample browser."""
    cell = grid.cells.get((entry, shift))
    return evaluation_key(cell.evaluated[0]) if cell is not None and cell.evaluated else None


def _numbers(grid: Grid, pair: Comparison) -> dict[str, Any]:
    """The data of the page about two interventions and each shift. The script only displays it."""
    rows = [_row(pair.shifts.get(shift)) for shift in grid.shifts]
    verdicts = [found.verdict for _, found in pair.shifts.values() if found is not None]
    mean = pair.mean
    return {
        "rows": rows,
        "shared": len(pair.shifts),
        "better": verdicts.count("higher"),
        "worse": verdicts.count("lower"),
        "mean": None if mean is None else [*_ends(mean.value, mean), direction(mean)],
        "p": None if mean is None or mean.adjusted_p_value is None else _short(mean.adjusted_p_value),
        "about": "" if mean is None else mean.about,
        "leftOut": 0 if mean is None else mean.left_out,
    }


def _row(found: tuple[float, Difference | None] | None) -> Any:
    """[difference, low, high, direction, adjusted p, first better, second better, prompts]; 0 if missing."""
    if found is None:
        return 0
    value, difference = found
    if difference is None or difference.adjusted_p_value is None:
        return [*_ends(value, difference), direction(difference)]
    return [
        *_ends(value, difference),
        direction(difference),
        _short(difference.adjusted_p_value),
        difference.first_only,
        difference.second_only,
        difference.n_clusters,
    ]


def _ends(value: float, difference: Difference | None) -> list[float | None]:
    ends = (
        [] if difference is None or difference.interval is None else [difference.interval.low, difference.interval.high]
    )
    return [round(value, 5), *(round(end, 5) for end in ends)] if ends else [round(value, 5), None, None]


def _short(p_value: float) -> float:
    return float(f"{p_value:.3g}")


def _matrix_row(entry: Entry, entries: Sequence[Entry], pairs: Pairs) -> dict[str, Any]:
    """Row minus column for all other interventions of the base model; None for the intervention itself."""
    cells: list[dict[str, Any] | None] = []
    for other in entries:
        if other == entry:
            cells.append(None)
            continue
        mean = pairs[entry, other].mean
        cells.append(
            {
                "mean": None if mean is None else mean.value,
                "interval": None if mean is None else mean.interval,
                "p": None if mean is None else mean.adjusted_p_value,
                "differs": mean is not None and mean.verdict in ("higher", "lower"),
                "kind": heat_class(None if mean is None else mean.value, direction(mean)),
                "other": other.intervention,
            }
        )
    return {"name": entry.intervention, "cells": cells}
