"""Figures for papers, drawn with matplotlib: means with intervals, and the heat map, as SVG and PDF.

The plots in pages are SVG from drawing.py, which use the colours of the page and are fast to draw.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genies.report.cells import Cell, Grid
from genies.report.embedding import visible
from genies.report.pages import Site
from genies.report.summary import Group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN = "generalization_accuracy"
BLUE, GREY, GREEN = "#1f6fb2", "#6b707a", "#5d7f3a"

SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar in a name does not start a formula
    "svg.hashsalt": "genies",  # otherwise identifiers in the file are random
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write_paper_figures(site: Site, whole: Group, grid: Grid, prefix: str = "") -> list[dict[str, str]]:
    """Write the figures of each base model and return their addresses and titles. The output is deterministic.

    whole: the means over all shifts.
    """
    from matplotlib import rc_context

    folder = site.folder / "figures"
    folder.mkdir(exist_ok=True)
    files = []
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with characters that are not in the font
        for number, model in enumerate(grid.models):
            ending = "" if number == 0 else f"-{number + 1}"
            of = f", {model}" if len(grid.models) > 1 else ""
            for name, title, figure in (
                (f"{prefix}means{ending}", f"means{of}", _means(whole, model)),
                (f"{prefix}heat-map{ending}", f"heat map{of}", _heat_map(grid, model)),
            ):
                for kind, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                    data = io.BytesIO()
                    figure.savefig(data, format=kind, metadata=metadata, bbox_inches="tight")
                    (folder / f"{name}.{kind}").write_bytes(data.getvalue())
                    files.append({"href": f"figures/{name}.{kind}", "title": f"{title} ({kind.upper()})"})
    return files


def _new(width: float, height: float) -> tuple[Figure, Any]:
    # Without pyplot, which has global state and can open windows.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _means(whole: Group, model: str) -> Figure:
    means = [mean for mean in whole.means if mean.base_model == model]
    known = [mean for mean in means if mean.estimates[MAIN].value is not None]
    known.sort(key=lambda mean: mean.estimates[MAIN].value or 0.0)
    figure, axes = _new(5.2, 0.9 + 0.28 * len(known))
    for place, mean in enumerate(known):
        estimate = mean.estimates[MAIN]
        if estimate.interval is not None:
            axes.hlines(place, estimate.interval.low, estimate.interval.high, color=BLUE, alpha=0.4, linewidth=3)
        axes.plot(estimate.value, place, "o", color=BLUE, markersize=5)
    for metric, colour, style, label in (
        ("baseline_accuracy", GREY, "--", "baseline"),
        ("target_tuned_capability", GREEN, "-", "target-tuned"),
    ):
        value = next((v for mean in known if (v := mean.estimates[metric].value) is not None), None)
        if value is not None:
            axes.axvline(value, color=colour, linestyle=style, linewidth=1, label=label)
    _name(axes.yaxis, [mean.intervention for mean in known])
    axes.set_xlabel(f"generalization accuracy, mean over {len(whole.shifts)} shifts, 95 % interval")
    axes.margins(y=0.08)
    if known:
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    return figure


def _heat_map(grid: Grid, model: str) -> Figure:
    entries = [entry for entry in grid.entries if entry.base_model == model]
    cells = [[grid.cells.get((entry, shift)) for entry in entries] for shift in grid.shifts]
    missing = float("nan")
    values = np.array(
        [[missing if cell is None or cell.difference is None else _shade(cell) for cell in row] for row in cells]
    )
    figure, axes = _new(2.6 + 0.52 * len(entries), 1.2 + 0.26 * len(grid.shifts))
    picture = axes.imshow(np.ma.masked_invalid(values), cmap="RdBu", vmin=-0.5, vmax=0.5, aspect="auto")
    axes.set_facecolor("0.9")
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is not None and cell.accuracy is not None:
                dark = cell.difference is not None and abs(_shade(cell)) > 0.35
                axes.text(
                    x, y, f"{cell.accuracy:.2f}", ha="center", va="center", fontsize=7, color="w" if dark else "k"
                )
    _name(axes.yaxis, [f"{shift.source} → {shift.target}" for shift in grid.shifts])
    _name(axes.xaxis, [entry.intervention for entry in entries], rotation=40, ha="right")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("above the baseline, where significant")
    bar.outline.set_visible(False)
    return figure


def _shade(cell: Cell) -> float:
    """The value for the colour of a cell: the difference from the baseline if it is significant, otherwise 0."""
    significant = cell.verdict.direction in ("up", "down")
    return cell.difference if significant and cell.difference is not None else 0.0


def _name(axis: Any, names: Sequence[str], **style: Any) -> None:
    """Put names at the integers of an axis."""
    axis.set_ticks(range(len(names)), [visible(name) for name in names], **style)
    axis.set_tick_params(length=0)
