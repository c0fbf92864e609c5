"""Figures for papers have the width of a column or a page, embedded fonts, and the colours of the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from genies.report.palette import COLOURS, SHARES, cell_colour, style_sheet
from genies.report.paper_drawing import draw, room
from genies.report.paper_figures import HeatCell, HeatFigure, MeansFigure, MeansRow, drawing
from tests.report.conftest import Tab
from tests.support.made_report import MadeReport


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
    shifts = [f"starter_known_countries{n} → starter_remote_countries{n}" for n in range(3)]
    names = [f"logistic_probe_contrast_{n}" for n in range(12 if width > 4 else 5)]
    cells = [[HeatCell("#ffffff", "0.50", False) for _ in names] for _ in shifts]
    content = HeatFigure(name="heat", title="", width=width, shifts=shifts, interventions=names, cells=cells)
    figure = draw(content)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        box = label.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
    size = float(axes.get_yticklabels()[0].get_fontsize())
    cell = axes.get_window_extent().width / len(names)
    assert room(["▴0.00"], size) - 0.1 <= cell / figure.dpi


def _means(name: str) -> MeansFigure:
    row = MeansRow("mms", 0.1, (0.0, 0.2), "#123456")
    return MeansFigure(name=name, title="", width=5.5, rows=[row], capability=None, shifts=3)


def test_figures_are_drawn_while_pages_are_written_and_are_complete_afterwards(tmp_path: Path) -> None:
    with drawing(tmp_path, [_means("means")]):
        pass
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["means.pdf", "means.svg"]


def test_a_figure_that_cannot_be_drawn_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"figures.* could not be drawn: .*nowhere"),
        drawing(tmp_path, [_means("nowhere/x")]),
    ):
        pass


def test_a_failure_while_pages_are_written_is_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), drawing(tmp_path, [_means("means")]):
        raise ZeroDivisionError


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
