"""The page of one shift, with all interventions, the baseline and the target-tuned capability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from genies.data.shifts import Shift
from genies.metrics import reliability_bins
from genies.metrics.probabilities import Floats
from genies.report.browser import Browser, evaluation_key, group_key
from genies.report.cells import Cell, Grid
from genies.report.drawing import (
    Bin,
    Line,
    Point,
    Scale,
    axis,
    margin_histogram,
    reliability,
    scale_of,
    scatter,
    track,
)
from genies.report.figures import MAIN
from genies.report.origins import facts
from genies.report.pages import Site, shift_page_name, three
from genies.report.section import Part
from genies.report.sentences import Contender, Lead, lead
from genies.report.study import Reading
from genies.report.verdicts import is_rival, tests_of

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Neighbour:
    """The previous or next shift page."""

    title: str
    href: str


def write_shift_page(site: Site, part: Part, shift: Shift, browser: Browser) -> None:
    grid = part.grid
    cells = grid.of_shift(shift)
    scale = _scale(cells)
    ordered = sorted(cells, key=lambda cell: (cell.accuracy is None, -(cell.accuracy or 0)))
    position = grid.shifts.index(shift)
    site.page(
        "shift.html",
        shift_page_name(shift),
        "shift",
        shift=shift,
        heat=f"index.html#{part.prefix}heat",
        leads=_leads(grid, shift, ordered),
        rows=[_row(grid, cell, scale, browser) for cell in ordered],
        axis=axis(scale),
        tests=tests_of(cell.verdict.against_baseline for cell in cells),
        marked=any(cell.verdict.mark(MAIN.name).starred for cell in cells),
        any_capability=any(cell.value("target_tuned_capability") is not None for cell in cells),
        any_baseline=any(cell.baseline is not None for cell in cells),
        sizes=_sizes(cells),
        seeds=sorted({len(cell.evaluated) for cell in cells if cell.evaluated} or {0}),
        scatter=_scatter(grid, cells),
        plots=[_plots(grid, cell) for cell in ordered if _probabilities(cell)],
        evaluations=_origins(grid, cells),
        samples=browser.link(shift.target),
        before=_neighbour(grid, position - 1),
        after=_neighbour(grid, position + 1),
    )


def _sizes(cells: Sequence[Cell]) -> str:
    """The size of the test set, such as 250 examples, 750 pairs, with ranges if cells differ."""
    words = []
    for counts, what in (
        ([each.summary.examples for each in cells], "examples"),
        ([each.summary.pairs for each in cells], "pairs"),
    ):
        there = sorted({count for count in counts if count is not None})
        if there:
            words.append(f"{there[0]:,}{f' to {there[-1]:,}' if len(there) > 1 else ''} {what}")
    return ", ".join(words)


def _neighbour(grid: Grid, position: int) -> Neighbour | None:
    if not 0 <= position < len(grid.shifts):
        return None
    return Neighbour(str(grid.shifts[position]), shift_page_name(grid.shifts[position]))


def _scale(cells: Sequence[Cell]) -> Scale:
    values = [0.5]
    for cell in cells:
        values += [
            value
            for value in (cell.accuracy, cell.baseline, cell.value("target_tuned_capability"))
            if value is not None
        ]
        values += [] if cell.interval is None else [cell.interval.low, cell.interval.high]
    return scale_of(values)


def _leads(grid: Grid, shift: Shift, cells: Sequence[Cell]) -> list[tuple[str, str, Lead]]:
    """The opening sentences for each base model with an evaluation."""
    found = []
    for model in grid.models:
        contenders = [
            _contender(cell) for cell in cells if cell.entry.base_model == model and cell.accuracy is not None
        ]
        said = lead(contenders)
        if said is not None:
            where = f"Tuned on {shift.source} and tested on {shift.target}"
            found.append((model if len(grid.models) > 1 else "", where, said))
    return found


def _contender(cell: Cell) -> Contender:
    assert cell.accuracy is not None
    return Contender(
        cell.entry.intervention,
        cell.accuracy,
        cell.interval,
        cell.verdict,
        cell.baseline,
        cell.value("target_tuned_capability"),
        cell.seeds[0].row.target_tuned_capability_intervention,
        is_rival(cell.summary),
    )


def _row(grid: Grid, cell: Cell, scale: Scale, browser: Browser) -> dict[str, Any]:
    lines = [
        Line(value, kind)
        for value, kind in ((cell.baseline, "baseline"), (cell.value("target_tuned_capability"), "capability"))
        if value is not None
    ]
    interval = None if cell.interval is None else (cell.interval.low, cell.interval.high)
    key = group_key(cell.evaluated[0]) if cell.evaluated else None
    return {
        "name": grid.name(cell.entry),
        "cell": cell,
        "track": track(scale, cell.accuracy, interval, lines, kind=cell.verdict.direction),
        "wrong": browser.link(cell.shift.target, a=key, f="wrong") if key and _probabilities(cell) else None,
    }


def _scatter(grid: Grid, cells: Sequence[Cell]) -> Markup | None:
    there = [
        (cell, x, y)
        for cell in cells
        if (x := cell.value("source_ID_accuracy")) is not None and (y := cell.accuracy) is not None
    ]
    if not there:
        return None
    points = [Point(x, y, grid.name(cell.entry), cell.verdict.direction) for cell, x, y in there]
    baselines = {cell.baseline for cell in cells if cell.baseline is not None}
    words = "; ".join(f"{grid.name(cell.entry)}: source {x:.3f}, target {y:.3f}" for cell, x, y in there)
    lines = [Line(value, "baseline") for value in sorted(baselines)]
    return scatter(points, lines, f"Accuracy on the target against accuracy on the source. {words}.")


def _probabilities(cell: Cell) -> list[float]:
    """The probabilities of all seeds in one list."""
    return [p for reading in cell.evaluated for p in reading.evaluation.eval_probabilities or []]


def _plots(grid: Grid, cell: Cell) -> dict[str, Any]:
    probabilities, name = _probabilities(cell), grid.name(cell.entry)
    bins = [
        Bin(each.mean_confidence, each.accuracy, each.count)
        for each in reliability_bins(probabilities)
        if each.mean_confidence is not None and each.accuracy is not None
    ]
    margins = 2 * np.asarray(probabilities) - 1
    confident = float(np.mean(margins <= -0.8))
    ties = int(np.sum(margins == 0))
    halves = f" The {ties:,} ties count half in each of the two middle bins." if ties else ""
    said = "; ".join(f"confidence {each.confidence:.2f}, accuracy {each.right:.2f}" for each in bins)
    return {
        "name": name,
        "calibration": three(cell.value("RMS_calibration_error")),
        "calibrated": _two(cell.value("RMS_calibration_error_if_calibrated")),
        "reliability": reliability(bins, f"Reliability of {name}: {said}."),
        "margin": f"{float(np.mean(margins)):+.2f}".replace("-", "−"),
        "confident": f"{confident:.0%}",
        "histogram": margin_histogram(
            margin_counts(margins),
            f"Margins of {name}: mean {np.mean(margins):.2f}, {confident:.0%} confident and wrong.{halves}",
        ),
    }


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def margin_counts(margins: Sequence[float] | Floats) -> list[float]:
    """Number of pairs by margin in equal bins over [-1, 1]. A tie counts half in each of the two middle bins.

    >>> margin_counts([-0.05, 0.0, 0.0, 0.0, 0.05])[8:12]
    [0.0, 2.5, 2.5, 0.0]
    """
    values = np.asarray(margins)
    counts = np.histogram(values[values != 0], bins=HISTOGRAM_BINS, range=(-1, 1))[0].astype(float)
    middle = HISTOGRAM_BINS // 2
    counts[middle - 1 : middle + 1] += np.sum(values == 0) / 2
    found: list[float] = counts.tolist()
    return found


def _origins(grid: Grid, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """All evaluations behind the page, each once, with their provenance; those on the target come first."""
    found: dict[str, tuple[str, Reading, bool]] = {}
    several = len(grid.models) > 1

    def note(role: str, reading: Reading | None, on_target: bool = False) -> None:
        if reading is not None:
            found.setdefault(str(reading.path), (role, reading, on_target))

    for cell in cells:
        for seed in cell.seeds:
            note(f"{grid.name(cell.entry)}, on the target", seed.generalization, True)
    for cell in cells:
        of = f", {cell.entry.base_model}" if several else ""
        for seed in cell.seeds:
            note(f"baseline{of}", seed.baseline)
            note(f"target-tuned{of}", seed.capability)
            note(f"{grid.name(cell.entry)}, on the source", seed.source_id)
    return [
        {
            "role": role + ("" if reading.seed is None else f", seed {reading.seed}"),
            "file": f"{evaluation_key(reading)}/{reading.path.name}",
            "accuracy": reading.evaluation.eval_accuracy,
            "verified": reading.verified,
            "facts": facts(reading),
            "on_target": on_target,
        }
        for role, reading, on_target in found.values()
    ]
