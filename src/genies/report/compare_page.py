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
from genies.report.pages import Site, shift_page_name
from genies.report.samples import write_script
from genies.report.section import Part
from genies.report.summary import Summary
from genies.report.verdicts import direction, tests_of

PAGE = "compare.html"

Pairs = Mapping[tuple[Entry, Entry], Comparison]
"""All pairs of entries with the same base model or the same intervention, in both orders."""


def write_compare_page(site: Site, parts: Sequence[Part], browser: Browser) -> None:
    """Write the page, and for each suite a script file with its data."""
    shown = []
    tests: dict[str, list[str]] = {"shift": [], "mean": []}
    for number, part in enumerate(part for part in parts if len(part.grid.entries) > 1):
        pairs, grid = _pairs(part.summary, part.grid), part.grid
        key = f"compare/{number}"
        write_script(site.folder / "data" / f"{key}.js", key, _data(grid, pairs, browser))
        tests["shift"] += tests_of(found for pair in pairs.values() for _, found in pair.shifts.values())
        tests["mean"] += tests_of(pair.mean for pair in pairs.values())
        matrices = [(model, [each for each in grid.entries if each.base_model == model]) for model in grid.models]
        shown.append(
            {
                "name": part.suite.name,
                "key": key,
                "shifts": len(grid.shifts),
                "several_models": len(grid.models) > 1,
                "models": [
                    {
                        "name": model,
                        "entries": [entry.intervention for entry in entries],
                        "matrix": [_matrix_row(grid, entry, entries, pairs) for entry in entries],
                    }
                    for model, entries in matrices
                    if len(entries) > 1
                ],
            }
        )
    site.page(
        "compare.html",
        PAGE,
        "compare",
        suites=shown,
        several_models=any(each["several_models"] for each in shown),
        shift_tests=list(dict.fromkeys(tests["shift"])),
        mean_tests=list(dict.fromkeys(tests["mean"])),
        listing=[{"name": each["name"], "key": each["key"]} for each in shown],
    )


def _pairs(summary: Summary, grid: Grid) -> Pairs:
    """All pairs of interventions of each base model and of base models of each intervention, over all shifts."""
    differences = PairedDifferences(summary)
    return {
        (one, other): differences.compare(
            summary.groups[0], (one.base_model, one.intervention), (other.base_model, other.intervention)
        )
        for one, other in permutations(grid.entries, 2)
        if one.base_model == other.base_model or one.intervention == other.intervention
    }


def _data(grid: Grid, pairs: Pairs, browser: Browser) -> dict[str, Any]:
    """The data of one suite. Each pair is there once, with the smaller number first; the script turns it."""
    numbers = {entry: number for number, entry in enumerate(grid.entries)}
    return {
        "shifts": [_shift(shift, browser) for shift in grid.shifts],
        "names": [grid.name(entry) for entry in grid.entries],
        "keys": [[_keys(grid, entry, shift) for entry in grid.entries] for shift in grid.shifts],
        "pairs": {
            f"{numbers[one]}-{numbers[other]}": _numbers(grid, pair)
            for (one, other), pair in pairs.items()
            if numbers[one] < numbers[other]
        },
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


def _keys(grid: Grid, entry: Entry, shift: Shift) -> list[str]:
    """The keys of the evaluations of all seeds in the sample browser; of the baseline, those that others are compared
    with."""
    cell = grid.cells.get((entry, shift))
    if cell is None:
        return []
    untuned = [each.baseline for each in cell.seeds if each.baseline is not None] if cell.verdict.is_baseline else []
    return list(dict.fromkeys(evaluation_key(each) for each in untuned or cell.evaluated))


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


def _matrix_row(grid: Grid, entry: Entry, entries: Sequence[Entry], pairs: Pairs) -> dict[str, Any]:
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
                "first": grid.name(entry),
                "second": grid.name(other),
            }
        )
    return {"name": entry.intervention, "cells": cells}
