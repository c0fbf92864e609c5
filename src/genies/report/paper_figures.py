"""The figures for papers: differences with intervals, and the heat map, as SVG and PDF.

They have the width of a column or of the text of a page (3.25 and 5.5 inches), embedded fonts, and the colours and the
scale of the pages. This module says what is in them; paper_drawing.py draws them with matplotlib, in a process of its
own while the pages are written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from genies.report.cells import Cell, Grid
from genies.report.figures import BASELINE, CAPABILITY
from genies.report.heat import heat_class
from genies.report.palette import cell_colour, light
from genies.report.summary import Group, MeanSummary

FOLDER = "figures"

WIDTHS = {"": 5.5, "-column": 3.25}
"""The widths in inches, by the ending of the file names: the text of a page, and a column."""

KINDS = ("svg", "pdf")

DRAWING = "genies.report.paper_drawing"


class MeansRow(NamedTuple):
    """The mean difference of one intervention to the untuned model."""

    intervention: str
    difference: float
    interval: tuple[float, float] | None
    colour: str


class HeatCell(NamedTuple):
    """The accuracy of one intervention on one shift."""

    colour: str
    words: str
    bold: bool


class PaperFigure(BaseModel):
    """The content of a figure."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Of its files, without the ending."""
    title: str
    width: float
    """In inches."""


class MeansFigure(PaperFigure):
    """Mean differences to the untuned model with their intervals, best first."""

    kind: Literal["means"] = "means"
    rows: list[MeansRow]
    capability: float | None
    """The target-tuned capability minus the baseline."""
    shifts: int
    """Number of shifts in the means."""


class HeatFigure(PaperFigure):
    """Accuracies on targets."""

    kind: Literal["heat map"] = "heat map"
    shifts: list[str]
    interventions: list[str]
    cells: list[list[HeatCell]]
    """A list for each shift, with a cell for each intervention."""


class PaperFigures(BaseModel):
    """All figures of a report."""

    figures: list[Annotated[MeansFigure | HeatFigure, Field(discriminator="kind")]]


def paper_figures(whole: Group, grid: Grid, prefix: str = "") -> list[MeansFigure | HeatFigure]:
    """The figures of each base model with values.

    whole: the means over all shifts. With several base models, heat maps have only the width of the text.
    """
    found: list[MeansFigure | HeatFigure] = []
    models = [model for model in grid.models if _known(whole, model)]
    for number, model in enumerate(models):
        ending = "" if number == 0 else f"-{number + 1}"
        of = f", {model}" if len(models) > 1 else ""
        for place, width in WIDTHS.items():
            name, title = f"{prefix}{{}}{ending}{place}", f"{{}}{of}, {width} in"
            found.append(_means(whole, model, name.format("means"), title.format("differences"), width))
            if not place or len(models) == 1:
                found.append(_heat_map(grid, model, name.format("heat-map"), title.format("heat map"), width))
    return found


def figure_files(figures: Sequence[PaperFigure]) -> list[dict[str, str]]:
    """The addresses and titles of the files."""
    return [
        {"href": f"{FOLDER}/{each.name}.{kind}", "title": f"{each.title} ({kind.upper()})"}
        for each in figures
        for kind in KINDS
    ]


@contextmanager
def drawing(folder: Path, figures: Sequence[MeansFigure | HeatFigure]) -> Iterator[None]:
    """Draw the figures of a report in a process of its own while the body runs. Deterministic.

    Raises OSError with the last line of the process's messages, and with its error number, if it fails.
    """
    if not figures:
        yield
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    with TemporaryFile() as content, TemporaryFile() as messages:
        content.write(PaperFigures(figures=list(figures)).model_dump_json().encode())
        content.seek(0)
        argv = [sys.executable, "-P", "-m", DRAWING, str(folder / FOLDER)]
        with subprocess.Popen(argv, stdin=content, stdout=subprocess.DEVNULL, stderr=messages) as process:
            try:
                yield
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
            message = f"the figures in {folder / FOLDER} could not be drawn: {said[-1]}"
            number = re.search(r"\[Errno (\d+)\]", said[-1])
            raise OSError(int(number[1]), message, str(folder / FOLDER)) if number else OSError(message)


def _known(whole: Group, model: str) -> list[MeanSummary]:
    """The means of a base model with a difference, best first; the baseline is the zero line."""
    found = [
        (tested.value, mean)
        for mean in whole.means
        if mean.base_model == model and (tested := mean.verdict.against_baseline) is not None
    ]
    return [mean for _, mean in sorted(found, key=lambda each: -each[0])]


def _means(whole: Group, model: str, name: str, title: str, width: float) -> MeansFigure:
    means = _known(whole, model)
    rows = []
    for mean in means:
        tested = mean.verdict.against_baseline
        assert tested is not None
        interval = None if tested.interval is None else (tested.interval.low, tested.interval.high)
        colour = light("muted" if mean.verdict.direction not in ("up", "down") else mean.verdict.direction)
        rows.append(MeansRow(mean.intervention, tested.value, interval, colour))
    return MeansFigure(
        name=name, title=title, width=width, rows=rows, capability=_capability(means), shifts=len(whole.shifts)
    )


def _capability(means: Sequence[MeanSummary]) -> float | None:
    """The target-tuned capability minus the baseline, from the first mean with both."""
    for mean in means:
        capability, baseline = (mean.estimates[each.name].value for each in (CAPABILITY, BASELINE))
        if capability is not None and baseline is not None:
            return capability - baseline
    return None


def _heat_map(grid: Grid, model: str, name: str, title: str, width: float) -> HeatFigure:
    entries = [entry for entry in grid.entries if entry.base_model == model]
    return HeatFigure(
        name=name,
        title=title,
        width=width,
        shifts=[f"{shift.source} → {shift.target}" for shift in grid.shifts],
        interventions=[entry.intervention for entry in entries],
        cells=[[_shown(grid.cells.get((entry, shift))) for entry in entries] for shift in grid.shifts],
    )


def _shown(cell: Cell | None) -> HeatCell:
    """As on the pages, significant differences are bold and have a mark."""
    if cell is None or cell.accuracy is None:
        return HeatCell(light("line"), "", False)
    kind = heat_class(cell.difference, cell.verdict.direction)
    mark = {"up": "▴", "down": "▾"}.get(cell.verdict.direction, "")
    return HeatCell(cell_colour(kind), f"{mark}{cell.accuracy:.2f}", bool(mark))
