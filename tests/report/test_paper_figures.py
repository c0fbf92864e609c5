"""Figures for papers have the width of a column or a page, embedded fonts, and the colours of the pages."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from genies.report import paper_figures
from genies.report.palette import COLOURS, SHARES, cell_colour, style_sheet
from tests.report.conftest import Tab
from tests.support.made_report import MadeReport


class Named(NamedTuple):
    """What a figure reads of a shift."""

    source: str
    target: str


class Entry(NamedTuple):
    """What a figure reads of a row of the tables."""

    intervention: str
    base_model: str


@pytest.mark.parametrize(("ending", "inches"), [("", 5.5), ("-column", 3.25)])
@pytest.mark.parametrize("name", ["means", "heat-map"])
def test_a_figure_has_its_exact_width_and_embedded_fonts(
    made: MadeReport, name: str, ending: str, inches: float
) -> None:
    svg = (made.folder / "figures" / f"{name}{ending}.svg").read_text(encoding="utf-8")
    assert f'width="{inches * 72:g}pt"' in svg
    assert "<text" not in svg  # glyphs are paths, so no font is needed
    pdf = (made.folder / "figures" / f"{name}{ending}.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert float(box) == pytest.approx(inches * 72)
    assert b"/FontFile2" in pdf


@pytest.mark.parametrize("width", [5.5, 3.25])
def test_long_names_are_drawn_whole_and_numbers_fit_in_their_cells(width: float) -> None:
    shifts = [Named(f"starter_known_countries{n}", f"starter_remote_countries{n}") for n in range(3)]
    entries = [Entry(f"logistic_probe_contrast_{n}", "model") for n in range(12 if width > 4 else 5)]
    grid = SimpleNamespace(entries=entries, shifts=shifts, cells={})
    figure = paper_figures._heat_map(grid, "model", width)  # type: ignore[arg-type]
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        box = label.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
    size = float(axes.get_yticklabels()[0].get_fontsize())
    cell = axes.get_window_extent().width / len(entries)
    assert paper_figures._room(["▴0.00"], size) - 0.1 <= cell / figure.dpi


def test_the_colours_of_figures_are_those_that_the_browser_mixes(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder, color_scheme="light")
    page = tab.open("index.html")
    for kind in [f"{letter}{number + 1}" for letter in "ud" for number in range(len(SHARES))]:
        # A canvas converts any colour to the eight bits of each channel that are drawn.
        drawn = page.evaluate(
            """kind => {
              const pixel = document.createElement('canvas').getContext('2d');
              pixel.fillStyle = getComputedStyle(document.querySelector('.ramp .' + kind)).backgroundColor;
              pixel.fillRect(0, 0, 1, 1);
              return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
            }""",
            kind,
        )
        ours = [int(cell_colour(kind)[place : place + 2], 16) for place in (1, 3, 5)]
        assert ours == pytest.approx(drawn, abs=1)
    tab.context.close()


def test_the_style_sheet_contains_each_colour_in_both_modes() -> None:
    text = style_sheet()
    for name, (light, dark) in COLOURS.items():
        assert f"--{name}: light-dark({light}, {dark});" in text
