"""Plots as SVG: well-formed, in the right places, and saying in words what they show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

shares = st.floats(0, 1)


def elements(svg: str, tag: str, kind: str) -> list[dict[str, str]]:
    """Attributes of the elements with a tag and a class, from a parser of XML."""
    return [each.attrib for each in ElementTree.fromstring(svg).iter(tag) if kind in each.get("class", "").split()]


@given(st.lists(shares, min_size=1, max_size=20))
def test_scale_holds_every_value_and_marks_round_ones(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale.low - 1e-9 <= min(values) <= max(values) <= scale.high + 1e-9
    assert 2 <= len(scale.ticks()) <= 6
    assert all(round(tick, 2) == tick for tick in scale.ticks())


@given(shares, shares)
def test_places_keep_the_order_and_the_proportions_of_values(one: float, other: float) -> None:
    scale = Scale(0.0, 1.0)
    places = [float(scale.percent(value).rstrip("%")) for value in (one, other)]
    assert places[1] - places[0] == pytest.approx(96 * (other - one), abs=0.011)
    assert all(2 <= place <= 98 for place in places)


def test_track_draws_value_interval_lines_and_diamond_where_they_belong() -> None:
    svg = track(Scale(0.0, 1.0), 0.5, (0.25, 0.75), [Line(0.1, "baseline"), Line(0.9, "capability")], 1.0, "up")
    assert elements(svg, "circle", "dot")[0]["cx"] == "50%"
    assert [elements(svg, "line", "interval")[0][end] for end in ("x1", "x2")] == ["26%", "74%"]
    assert elements(svg, "line", "baseline")[0]["x1"] == "11.6%"
    assert elements(svg, "line", "capability")[0]["x1"] == "88.4%"
    assert len(elements(svg, "path", "diamond")) == 1
    assert not elements(track(Scale(), None), "circle", "dot")


def test_axis_labels_are_those_of_the_ticks() -> None:
    texts = [each.text for each in ElementTree.fromstring(axis(Scale(0.4, 0.8))).iter("text")]
    assert texts == ["0.4", "0.5", "0.6", "0.7", "0.8"]


def test_reliability_dots_are_at_confidence_and_share_right_with_areas_as_counts() -> None:
    svg = reliability([Bin(0.5, 1.0, 100), Bin(0.75, 0.5, 25), Bin(1.0, 0.0, 0)], "<of> & mms")
    frame = {name: float(value) for name, value in elements(svg, "rect", "frame")[0].items() if name != "class"}
    dots = [{name: float(each[name]) for name in ("cx", "cy", "r")} for each in elements(svg, "circle", "dot")]
    assert (dots[0]["cx"], dots[0]["cy"]) == (frame["x"], frame["y"])
    assert dots[1]["cx"] == frame["x"] + frame["width"] / 2
    assert dots[1]["cy"] == frame["y"] + frame["height"] / 2
    assert dots[2]["cy"] == frame["y"] + frame["height"]
    assert dots[0]["r"] - dots[2]["r"] == pytest.approx(2 * (dots[1]["r"] - dots[2]["r"]), abs=0.02)
    assert "&lt;of&gt; &amp; mms" in svg


def test_histogram_bars_are_as_high_as_counts_and_wrong_left_of_the_middle() -> None:
    svg = margin_histogram([10, 0, 20, 40], "margins")
    heights = {kind: [float(each["height"]) for each in elements(svg, "rect", kind)] for kind in ("wrong", "right")}
    assert heights["wrong"] == [pytest.approx(heights["right"][1] / 4)]
    assert heights["right"][0] == pytest.approx(heights["right"][1] / 2)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=20))
def test_scatter_labels_never_cover_one_another(places: list[tuple[float, float]]) -> None:
    points = [Point(x, y, f"intervention <{number}>") for number, (x, y) in enumerate(places)]
    svg = scatter(points, [Line(0.5, "baseline")], "accuracies")
    labels = elements(svg, "text", "label")
    heights = sorted(float(label["y"]) for label in labels)
    assert len(labels) == len(points)
    assert all(other - one >= 14.98 for one, other in pairwise(heights))
    assert re.search(r"intervention &lt;0&gt;", svg)


def test_many_labels_of_long_names_are_whole_and_inside_the_scatter() -> None:
    names = [f"lora_fine_tuning_{number}, openllama-3b" for number in range(30)]
    svg = scatter([Point(0.5, number / 30, name) for number, name in enumerate(names)], [], "accuracies")
    width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    labels = elements(svg, "text", "label")
    assert all(f">{name}<" in svg for name in names)
    assert max(float(label["y"]) for label in labels) < height
    assert max(float(label["x"]) for label in labels) + 6 * max(map(len, names)) < width
