"""The figures of the analysis, at the width of a text column of a paper."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from genies.files import write_bytes
from genies.metrics.verdict import Difference
from genies.reanalysis.release import BASELINE, LORA, READING, SIZES, Release, Results
from genies.report.palette import light

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.5
"""Inches."""

MARKERS = ("o", "s", "D")
"""For the sizes of models."""


def write_figures(release: Release, folder: Path) -> list[tuple[str, str]]:
    """Write the figures as SVG, the same bytes for the same results; returns the name and description of each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, rc_context

    from genies.report.paper_drawing import SETTINGS

    with rc_context(SETTINGS):
        figure, axes = pyplot.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True, layout="constrained")
        for place, results in zip(axes, (release.genies, release.every), strict=True):
            _gains(place, results)
        axes[0].set_title("GENIES, 15 shifts")
        axes[1].set_title("all 56 shifts")
        figure.supxlabel("accuracy on targets minus that of the untuned model, 95 % interval", fontsize=9)
        name = "reanalysis-2023-gains.svg"
        data = io.BytesIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
        write_bytes(folder / name, data.getvalue())
        pyplot.close(figure)
    text = "Accuracy on targets minus that of the untuned model, with intervals, by model and intervention"
    return [(name, text)]


def _gains(axes: Axes, results: Results) -> None:
    """A dot and an interval for each intervention and each LLaMA size."""
    names = [
        name
        for name in results.interventions(SIZES[-1])
        if name != BASELINE and results.is_comparable((SIZES[-1], name))
    ]
    for row, name in enumerate(reversed(names)):
        colour = light("capability" if name == LORA else "up" if name in READING else "muted")
        for number, model in enumerate(SIZES):
            if (model, name) in results.lines and results.is_comparable((model, name)):
                _interval(axes, results.over_baseline((model, name)), row + 0.22 * (1 - number), colour, number)
    if results.title == "GENIES":
        shapes = [
            axes.plot([], [], marker, color="black", markersize=3.5, label=size)[0]
            for marker, size in zip(MARKERS, SIZES, strict=True)
        ]
        axes.legend(handles=shapes, fontsize=7, loc="lower left", frameon=False)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)


def _interval(axes: Axes, found: Difference, height: float, colour: str, number: int) -> None:
    marker = MARKERS[number]
    if found.interval is not None:
        axes.plot([found.interval.low, found.interval.high], [height, height], color=colour, linewidth=1.2)
    axes.plot(found.value, height, marker, color=colour, markersize=3.5)
