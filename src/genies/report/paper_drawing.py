"""Draw the figures for papers with matplotlib.

    python -m genies.report.paper_drawing FOLDER < figures.json

writes each figure as SVG and PDF; figures.json is a PaperFigures. The plots in pages are SVG from drawing.py, which
follow the theme of the page and are fast to draw.
"""

from __future__ import annotations

import gc
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.collections import PolyCollection

# Without pyplot, which has global state and can open windows.
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from genies.report.embedding import visible
from genies.report.palette import light
from genies.report.paper_figures import KINDS, HeatFigure, MeansFigure, PaperFigures

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
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Without dates, so that files are the same each time."""
_CORNERS = ((-0.48, -0.46), (0.48, -0.46), (0.48, 0.46), (-0.48, 0.46))
"""The corners of a cell of the heat map around its centre."""


def draw_all(figures: PaperFigures, folder: Path) -> None:
    """Write the files of all figures. Deterministic."""
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with characters that are not in the font
        for each in figures.figures:
            figure = draw(each)
            for kind in KINDS:
                data = io.BytesIO()
                figure.savefig(data, format=kind, metadata=_METADATA[kind])
                (folder / f"{each.name}.{kind}").write_bytes(data.getvalue())


def draw(content: MeansFigure | HeatFigure) -> Figure:
    """The figure with this content, in its exact size."""
    return _means(content) if isinstance(content, MeansFigure) else _heat_map(content)


def _new(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Any]:
    """A figure and its axes. margins: left, right, bottom and top in inches, so that the size of the file is exact."""
    left, right, bottom, top = margins
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


def room(names: Sequence[str], size: float) -> float:
    """Inches for the longest of some names, with the distance to what they name."""
    font = FontProperties(size=size)
    measured = (text_to_path.get_text_width_height_descent(visible(name), font, ismath=False) for name in names)
    return 0.1 + max((width for width, _, _ in measured), default=0.0) / 72


def _means(content: MeansFigure) -> Figure:
    names = [row.intervention for row in content.rows]
    margins = room(names, 8), 0.14, 0.42, 0.36
    figure, axes = _new(content.width, 0.84 + 0.2 * len(names), margins)
    for place, row in enumerate(content.rows):
        if row.interval is not None:
            axes.hlines(place, *row.interval, color=row.colour, alpha=0.45, linewidth=2.2)
        axes.plot(row.difference, place, "o", color=row.colour, markersize=4)
    axes.axvline(0, color=light("muted"), linewidth=0.9)
    _above(axes, 0.0, "untuned model", light("muted"), 0)
    if content.capability is not None:
        axes.axvline(content.capability, color=light("capability"), linewidth=0.9)
        _above(axes, content.capability, "target-tuned", light("capability"), 1)
    _name(axes.yaxis, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    wide = content.width > 4
    over = f", mean over {content.shifts} shift{'' if content.shifts == 1 else 's'}" if wide else ""
    axes.set_xlabel(f"difference in accuracy{over}")
    axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-9 else f"{value:+.2g}".replace("-", "−"))
    axes.xaxis.set_major_locator(MaxNLocator(5 if wide else 3))
    return figure


def _above(axes: Any, value: float, words: str, colour: str, line: int) -> None:
    """The name of a vertical line above the axes, in one of two lines of text."""
    low, high = axes.get_xlim()
    side = "right" if value > (low + high) / 2 else "left"
    place = (0, 2 + 9 * line)
    axes.annotate(
        words, (value, 1), place, axes.get_xaxis_transform(), "offset points", color=colour, fontsize=7, ha=side
    )


def _heat_map(content: HeatFigure) -> Figure:
    width, shifts, names = content.width, content.shifts, content.interventions
    small = width < 4
    size = _size_of_cells(shifts, len(names), width)
    row, left, top = 0.026 * size, room(shifts, size), room(names, size)
    figure, axes = _new(width, 0.1 + top + row * len(shifts), (left, 0.06, 0.06, top))
    corners, colours = [], []
    for y, cells in enumerate(content.cells):
        for x, cell in enumerate(cells):
            words = cell.words.replace("0.", ".") if small else cell.words
            corners.append([(x + across, y + down) for across, down in _CORNERS])
            colours.append(cell.colour)
            style = {"ha": "center", "va": "center_baseline", "color": light("ink")}
            axes.text(x, y, words, fontsize=size, fontweight="bold" if cell.bold else "normal", **style)
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidths=0), autolim=False)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(shifts) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    _name(axes.yaxis, shifts, fontsize=size)
    _name(axes.xaxis, names, fontsize=size, rotation=90, va="bottom")
    return figure


def _size_of_cells(shifts: Sequence[str], columns: int, width: float) -> float:
    """The largest size of type, in points, with which names take at most half of the width and numbers fit in cells."""
    for size in (7.0, 6.5, 6.0, 5.5, 5.0, 4.6, 4.2):
        left = room(shifts, size)
        if left <= width / 2 and (width - left) / max(1, columns) >= room(["▴0.00"], 1.1 * size) - 0.1:
            break
    return size


def _name(axis: Any, names: Sequence[str], **style: Any) -> None:
    """Put names at the integers of an axis."""
    axis.set_ticks(range(len(names)), [visible(name) for name in names], **style)
    axis.set_tick_params(length=0)


if __name__ == "__main__":
    gc.disable()  # the process ends soon
    draw_all(PaperFigures.model_validate_json(sys.stdin.buffer.read()), Path(sys.argv[1]))
