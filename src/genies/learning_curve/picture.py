"""A picture of a learning curve, as SVG and PNG."""

from __future__ import annotations

import io
import warnings
from itertools import groupby
from pathlib import Path
from typing import Any

from genies.files import write_bytes
from genies.learning_curve.points import LearningCurve, Point
from genies.report.embedding import visible
from genies.report.palette import light

COLOURS = ("#1f6fb2", "#a94a1f", "#5d7f3a", "#7a4e9c", "#b0852a", "#3d8f8c", "#a23b6b", "#5d626c")
"""For readers who do not see red or green, each line also has a marker of its own."""
MARKERS = "osD^vP*X"


def write_picture(curve: LearningCurve, folder: Path) -> None:
    """Write learning_curve.svg and learning_curve.png; the same bytes each time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from genies.report.paper_drawing import SETTINGS

    settings = {**SETTINGS, "axes.spines.left": True}
    with rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with characters that are not in the font
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0.5, color=light("muted"), linewidth=0.8, linestyle="--")
        lines = groupby(curve.points, key=lambda each: each.distribution)
        for place, (name, points) in enumerate(lines):
            _draw(axes, place, visible(name) + (" (source)" if name == curve.source else ""), list(points))
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(_what_is_counted(curve))
        axes.set_ylabel("accuracy; dashed: chance")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        models = f", {len(curve.models)} models" if len(curve.models) > 1 else ""
        title = f"{curve.intervention}, {curve.base_model}{models}"
        axes.set_title(visible(title), fontsize=9, loc="left")
        for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            data = io.BytesIO()
            figure.savefig(data, format=kind, metadata=metadata, dpi=160)
            write_bytes(folder / f"learning_curve.{kind}", data.getvalue())


def _draw(axes: Any, place: int, name: str, points: list[Point]) -> None:
    colour = COLOURS[place % len(COLOURS)]
    steps = [each.step for each in points]
    axes.plot(
        steps,
        [each.accuracy for each in points],
        color=colour,
        marker=MARKERS[place % len(MARKERS)],
        markersize=4,
        linewidth=1.4 if place < len(COLOURS) else 0.9,
        linestyle="-" if place < len(COLOURS) else ":",
        label=name,
    )
    known = [each for each in points if each.low is not None and each.high is not None]
    if len(known) > 1:
        axes.fill_between(
            [each.step for each in known],
            [each.low or 0.0 for each in known],
            [each.high or 0.0 for each in known],
            color=colour,
            alpha=0.1,
            linewidth=0,
        )


def _what_is_counted(curve: LearningCurve) -> str:
    """Steps, with the number of pairs in each if it is always the same."""
    shares = {each.pairs / each.step for each in curve.points if each.pairs is not None}
    if len(shares) != 1 or any(each.pairs is None for each in curve.points):
        return "optimizer steps"
    return f"optimizer steps of {shares.pop():g} pairs"
