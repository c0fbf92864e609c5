"""A picture of a card, as SVG and PNG, for a README or a talk."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

from genies.card.content import Card
from genies.files import write_bytes
from genies.report.embedding import visible
from genies.report.palette import light


def write_picture(card: Card, references: Mapping[str, float], folder: Path) -> None:
    """Write card.svg and card.png: a dot and an interval for each answered question; the same bytes each time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from genies.report.paper_drawing import SETTINGS

    shown = [each for each in card.answers if each.share is not None]
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names with characters that are not in the font
        figure = Figure(figsize=(7.5, 1.1 + 0.42 * len(shown)), layout="constrained")
        axes = figure.subplots()
        for row, each in enumerate(reversed(shown)):
            if each.low is not None and each.high is not None:
                axes.plot([each.low, each.high], [row, row], color=light("up"), linewidth=2)
            axes.plot(each.share or 0.0, row, "o", color=light("up"), markersize=5)
            if (reference := references.get(each.id)) is not None:
                axes.plot(reference, row, "|", color=light("muted"), markersize=12, markeredgewidth=2)
        axes.axvline(0.5, color=light("muted"), linewidth=0.8, linestyle="--")
        axes.set_xlim(-0.02, 1.02)
        names = [textwrap.fill(visible(each.question), 52) for each in reversed(shown)]
        axes.set_yticks(range(len(shown)), names, fontsize=8)
        axes.set_xlabel("share of pairs; dashed: chance" + ("; grey: reference" if references else ""))
        axes.set_title(visible(card.name), fontsize=10, loc="left")
        for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            data = io.BytesIO()
            figure.savefig(data, format=kind, metadata=metadata, dpi=160)
            write_bytes(folder / f"card.{kind}", data.getvalue())
