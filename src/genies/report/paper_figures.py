"""Figures for papers, drawn with matplotlib: differences with intervals, and the heat map, as SVG and PDF.

They have the width of a column or of the text of a page (3.25 and 5.5 inches), embedded fonts, and the colours and the
scale of the pages. The plots in pages are SVG from drawing.py, which follow the theme of the page and are fast to draw.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genies.report.cells import Cell, Grid
from genies.report.embedding import visible
from genies.report.figures import BASELINE, CAPABILITY
from genies.report.heat import heat_class
from genies.report.pages import Site
from genies.report.palette import cell_colour, light
from genies.report.summary import Group, MeanSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = {"": 5.5, "-column": 3.25}
"""The widths in inches, by the ending of the file names: the text of a page, and a column."""

SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar in a name does not start a formula
    "svg.hashsalt": "genies",  # otherwise identifiers in the file are random
    "svg.fonttype": "path",  # glyphs are in the file
    "pdf.fonttype": 42,  # TrueType, which publishers accept
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
_COLOURS = {"up": "up", "down": "down"}
_CORNERS = ((-0.48, -0.46), (0.48, -0.46), (0.48, 0.46), (-0.48, 0.46))
"""The corners of a cell of the heat map around its centre."""


def write_paper_figures(site: Site, whole: Group, grid: Grid, prefix: str = "") -> list[dict[str, str]]:
    """Write the figures of each base model with values and return their addresses and titles. Deterministic.

    whole: the means over all shifts. With several base models, heat maps have only the width of the text.
    """
    from matplotlib import rc_context

    folder = site.folder / "figures"
    folder.mkdir(exist_ok=True)
    files = []
    models = [model for model in grid.models if _known(whole, model)]
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with characters that are not in the font
        for number, model in enumerate(models):
            ending = "" if number == 0 else f"-{number + 1}"
            of = f", {model}" if len(models) > 1 else ""
            for place, width in WIDTHS.items():
                drawn = [("means", "differences", _differences(whole, model, width))]
                if not place or len(models) == 1:
                    drawn.append(("heat-map", "heat map", _heat_map(grid, model, width)))
                for name, title, figure in drawn:
                    for kind, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                        data = io.BytesIO()
                        figure.savefig(data, format=kind, metadata=metadata)
                        path = f"{prefix}{name}{ending}{place}.{kind}"
                        (folder / path).write_bytes(data.getvalue())
                        files.append({"href": f"figures/{path}", "title": f"{title}{of}, {width} in ({kind.upper()})"})
    return files


def _new(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Any]:
    """A figure and its axes. margins: left, right, bottom and top in inches, so that the size of the file is exact."""
    # Without pyplot, which has global state and can open windows.
    from matplotlib.figure import Figure

    left, right, bottom, top = margins
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


def _room(names: Sequence[str], size: float) -> float:
    """Inches for the longest of some names, with the distance to what they name."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    measured = (text_to_path.get_text_width_height_descent(visible(name), font, ismath=False) for name in names)
    return 0.1 + max((width for width, _, _ in measured), default=0.0) / 72


def _known(whole: Group, model: str) -> list[MeanSummary]:
    """The means of a base model with a difference, best first; the baseline is the zero line."""
    found = [
        (tested.value, mean)
        for mean in whole.means
        if mean.base_model == model and (tested := mean.verdict.against_baseline) is not None
    ]
    return [mean for _, mean in sorted(found, key=lambda each: -each[0])]


def _differences(whole: Group, model: str, width: float) -> Figure:
    means = _known(whole, model)
    names = [mean.intervention for mean in means]
    figure, axes = _new(width, 0.84 + 0.2 * len(means), (_room(names, 8), 0.14, 0.42, 0.36))
    for place, mean in enumerate(means):
        tested = mean.verdict.against_baseline
        assert tested is not None
        colour = light(_COLOURS.get(mean.verdict.direction, "muted"))
        if tested.interval is not None:
            axes.hlines(place, tested.interval.low, tested.interval.high, color=colour, alpha=0.45, linewidth=2.2)
        axes.plot(tested.value, place, "o", color=colour, markersize=4)
    axes.axvline(0, color=light("muted"), linewidth=0.9)
    _above(axes, 0.0, "untuned model", light("muted"), 0)
    capability = _capability(means)
    if capability is not None:
        axes.axvline(capability, color=light("capability"), linewidth=0.9)
        _above(axes, capability, "target-tuned", light("capability"), 1)
    _name(axes.yaxis, names)
    axes.set_ylim(len(means) - 0.5, -0.5)
    over = f", mean over {len(whole.shifts)} shift{'' if len(whole.shifts) == 1 else 's'}" if width > 4 else ""
    axes.set_xlabel(f"difference in accuracy{over}")
    axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-9 else f"{value:+.2g}".replace("-", "−"))
    axes.xaxis.set_major_locator(_ticks(width))
    return figure


def _ticks(width: float) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5 if width > 4 else 3)


def _above(axes: Any, value: float, words: str, colour: str, line: int) -> None:
    """The name of a vertical line above the axes, in one of two lines of text."""
    low, high = axes.get_xlim()
    side = "right" if value > (low + high) / 2 else "left"
    place = (0, 2 + 9 * line)
    axes.annotate(
        words, (value, 1), place, axes.get_xaxis_transform(), "offset points", color=colour, fontsize=7, ha=side
    )


def _capability(means: Sequence[MeanSummary]) -> float | None:
    """The target-tuned capability minus the baseline, from the first mean with both."""
    for mean in means:
        capability, baseline = (mean.estimates[each.name].value for each in (CAPABILITY, BASELINE))
        if capability is not None and baseline is not None:
            return capability - baseline
    return None


def _heat_map(grid: Grid, model: str, width: float) -> Figure:
    from matplotlib.collections import PolyCollection

    entries = [entry for entry in grid.entries if entry.base_model == model]
    small = width < 4
    shifts = [f"{shift.source} → {shift.target}" for shift in grid.shifts]
    names = [entry.intervention for entry in entries]
    size = _size_of_cells(shifts, len(names), width)
    row, left, top = 0.026 * size, _room(shifts, size), _room(names, size)
    figure, axes = _new(width, 0.1 + top + row * len(shifts), (left, 0.06, 0.06, top))
    corners, colours = [], []
    for y, shift in enumerate(grid.shifts):
        for x, entry in enumerate(entries):
            cell = grid.cells.get((entry, shift))
            colour, words, weight = _shown(cell)
            words = words.replace("0.", ".") if small else words
            corners.append([(x + across, y + down) for across, down in _CORNERS])
            colours.append(colour)
            axes.text(
                x, y, words, ha="center", va="center_baseline", fontsize=size, fontweight=weight, color=light("ink")
            )
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidths=0), autolim=False)
    axes.set_xlim(-0.5, len(entries) - 0.5)
    axes.set_ylim(len(shifts) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    _name(axes.yaxis, shifts, fontsize=size)
    _name(axes.xaxis, names, fontsize=size, rotation=90, va="bottom")
    return figure


def _size_of_cells(shifts: Sequence[str], columns: int, width: float) -> float:
    """The largest size of type, in points, with which names take at most half of the width and numbers fit in cells."""
    for size in (7.0, 6.5, 6.0, 5.5, 5.0, 4.6, 4.2):
        left = _room(shifts, size)
        if left <= width / 2 and (width - left) / max(1, columns) >= _room(["▴0.00"], 1.1 * size) - 0.1:
            break
    return size


def _shown(cell: Cell | None) -> tuple[str, str, str]:
    """Colour, text and weight of a cell: as on the pages, significant differences are bold and have a mark."""
    if cell is None or cell.accuracy is None:
        return light("line"), "", "normal"
    kind = heat_class(cell.difference, cell.verdict.direction)
    mark = {"up": "▴", "down": "▾"}.get(cell.verdict.direction, "")
    return cell_colour(kind), f"{mark}{cell.accuracy:.2f}", "bold" if mark else "normal"


def _name(axis: Any, names: Sequence[str], **style: Any) -> None:
    """Put names at the integers of an axis."""
    axis.set_ticks(range(len(names)), [visible(name) for name in names], **style)
    axis.set_tick_params(length=0)
