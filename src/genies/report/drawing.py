"""Plots as SVG text. Colours are from the style sheet, so the same file is used in light and dark mode.

Horizontal positions in a track are percentages, so that it stretches with its column while text keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from genies.report.embedding import visible


@dataclass(frozen=True)
class Line:
    """A vertical reference line: a value and the class of its style."""

    value: float
    kind: str


@dataclass(frozen=True)
class Scale:
    """The part of the number line that a track shows."""

    low: float = 0.0
    high: float = 1.0

    def percent(self, value: float) -> str:
        """The position of a value, clipped to the track, with room for half a dot at each end."""
        share = (value - self.low) / (self.high - self.low)
        return f"{number(2 + 96 * min(max(share, 0.0), 1.0))}%"

    def ticks(self) -> list[float]:
        """At most five round values in the scale."""
        width = self.high - self.low
        step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if width / step <= 4.5 or step == 1.0)
        first = int(self.low / step) - 1
        found = [round(step * (first + count), 4) for count in range(int(width / step) + 4)]
        return [tick for tick in found if self.low - 1e-9 <= tick <= self.high + 1e-9]


def scale_of(values: Sequence[float], step: float = 0.1) -> Scale:
    """The smallest scale that contains all values, with ends at multiples of `step`; at least two steps wide."""
    if not values:
        return Scale()
    low = int(min(values) / step + 1000) * step - 1000 * step
    high = -(int(-max(values) / step + 1000) * step - 1000 * step)
    if high - low < 2 * step:
        low, high = low - step / 2, high + step / 2
    return Scale(round(low, 4), round(high, 4))


def number(value: float) -> str:
    """A coordinate with at most two decimals.

    >>> number(1.0), number(0.456), number(-0.001)
    ('1', '0.46', '0')
    """
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def track(
    scale: Scale,
    value: float | None,
    interval: tuple[float, float] | None = None,
    lines: Sequence[Line] = (),
    diamond: float | None = None,
    kind: str = "",
) -> Markup:
    """One row of a dot-and-interval plot: reference lines, the interval as a bar, the value as a dot.

    `diamond` marks a published value. The plot repeats the text of the row, so it is hidden from screen readers.
    """
    upright = [Line(tick, "grid") for tick in scale.ticks()] + list(lines)
    parts = [
        f'<line class="{line.kind}" x1="{place}" x2="{place}" y1="0" y2="100%"/>'
        for line, place in ((line, scale.percent(line.value)) for line in upright)
    ]
    if interval is not None:
        low, high = (scale.percent(end) for end in interval)
        parts.append(f'<line class="interval" x1="{low}" x2="{high}" y1="50%" y2="50%"/>')
    if diamond is not None:
        parts.append(
            f'<svg x="{scale.percent(diamond)}" y="50%" overflow="visible">'
            '<path class="diamond" d="M0-5 5 0 0 5-5 0Z"/></svg>'
        )
    if value is not None:
        parts.append(f'<circle class="dot" cx="{scale.percent(value)}" cy="50%" r="4.5"/>')
    return _svg(f"track {kind}".strip(), "".join(parts))


def axis(scale: Scale, signed: bool = False) -> Markup:
    """The numbers under a column of tracks. signed: with a sign, for differences."""
    ticks = scale.ticks()
    texts = "".join(f'<text x="{scale.percent(tick)}" y="14">{_tick(tick, ticks, signed)}</text>' for tick in ticks)
    return _svg("track axis", texts)


def _tick(value: float, ticks: Sequence[float], signed: bool) -> str:
    if signed and value == 0:
        return "0"
    digits = 2 if any(round(tick, 1) != tick for tick in ticks) else 1
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def _svg(kind: str, body: str) -> Markup:
    return Markup(f'<svg class="{kind}" aria-hidden="true">{body}</svg>')


def picture(width: int, height: int, kind: str, description: str, body: str) -> Markup:
    """A complete SVG with a description for screen readers."""
    return Markup(
        f'<svg class="plot {kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(visible(description))}</title>{body}</svg>"
    )


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    return f'<text x="{number(x)}" y="{number(y)}"{attributes}>{escape(visible(words))}</text>'


def _segment(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>'


@dataclass(frozen=True)
class Bin:
    """A bin of pairs by confidence: its mean confidence, from 0.5 to 1, the share of right pairs, and its size."""

    confidence: float
    right: float
    count: int


def reliability(bins: Sequence[Bin], description: str) -> Markup:
    """Share of right pairs against confidence, from 0.5 to 1. The diagonal is perfect calibration; areas are counts."""
    side, left, top = 132, 26, 8
    largest = max((each.count for each in bins), default=1)

    def x(value: float) -> float:
        return left + side * (2 * value - 1)

    def y(value: float) -> float:
        return top + side * (1 - value)

    body = f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>'
    body += _segment(x(0.5), y(0.5), x(1), y(1), "diagonal")
    body += "".join(_text(left - 5, y(tick) + 3.5, words, "end") for tick, words in ((0, "0"), (0.5, ".5"), (1, "1")))
    body += "".join(
        _text(x(tick), top + side + 13, words, "middle") for tick, words in ((0.5, ".5"), (0.75, ".75"), (1, "1"))
    )
    for one, other in pairwise(bins):
        body += _segment(x(one.confidence), y(one.right), x(other.confidence), y(other.right), "curve")
    for each in bins:
        body += _segment(x(each.confidence), y(each.confidence), x(each.confidence), y(each.right), "gap")
    for each in bins:
        radius = 1.8 + 6.2 * (each.count / largest) ** 0.5
        body += (
            f'<circle class="dot" cx="{number(x(each.confidence))}" cy="{number(y(each.right))}" r="{number(radius)}"/>'
        )
    return picture(left + side + 8, top + side + 18, "reliability", description, body)


def margin_histogram(counts: Sequence[float], description: str) -> Markup:
    """Counts of pairs by margin in equal bins over [-1, 1]. In the left half, the worse response is preferred."""
    width, height, left, top = 150, 74, 8, 6
    largest = max([*counts, 1])
    step = width / len(counts)
    body = ""
    for position, count in enumerate(counts):
        if count:
            tall = max(height * count / largest, 1)
            side = "wrong" if position < len(counts) / 2 else "right"
            body += (
                f'<rect class="{side}" x="{number(left + position * step + 0.5)}" y="{number(top + height - tall)}" '
                f'width="{number(step - 1)}" height="{number(tall)}"/>'
            )
    body += _segment(left, top + height + 0.5, left + width, top + height + 0.5, "base")
    body += _segment(left + width / 2, top, left + width / 2, top + height + 4, "middle-line")
    for share, words, anchor in ((0.0, "−1", "start"), (0.5, "0", "middle"), (1.0, "+1", "end")):
        body += _text(left + width * share, top + height + 15, words, anchor)
    return picture(width + 2 * left, height + top + 20, "histogram", description, body)


@dataclass(frozen=True)
class Point:
    """A labelled point of the scatter."""

    x: float
    y: float
    label: str
    kind: str = ""


def scatter(points: Sequence[Point], lines: Sequence[Line], description: str) -> Markup:
    """Target against source accuracy, which are equal on the diagonal. `lines` are horizontal.

    Labels are in a column at the right, spaced so that they do not overlap, each with a line to its point. The picture
    is as wide and as high as they need.
    """
    side, left, top, label_gap = 300, 36, 10, 15.0

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + side * (1 - value)

    body = f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>'
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        if 0 < tick < 1:
            body += _segment(x(tick), y(0), x(tick), y(1), "grid") + _segment(x(0), y(tick), x(1), y(tick), "grid")
        words = f"{tick:.2f}".rstrip("0").rstrip(".")
        body += _text(left - 6, y(tick) + 4, words, "end") + _text(x(tick), top + side + 16, words, "middle")
    body += _segment(x(0), y(0), x(1), y(1), "diagonal")
    for line in lines:
        body += _segment(x(0), y(line.value), x(1), y(line.value), line.kind)
    ordered = sorted(points, key=lambda point: (-point.y, point.x, point.label))
    places = _spread([y(point.y) for point in ordered], label_gap, top + 6, top + side - 2)
    column = left + side + 16
    for point, place in zip(ordered, places, strict=True):
        body += _segment(x(point.x) + 5, y(point.y), column - 3, place, "leader")
    for point, place in zip(ordered, places, strict=True):
        body += f'<circle class="dot {point.kind}" cx="{number(x(point.x))}" cy="{number(y(point.y))}" r="4.5"/>'
        body += _text(column, place + 4, _shortened(point.label), "label")
    body += _text(left + side / 2, top + side + 34, "accuracy on the source", "middle axis-name")
    body += (
        f'<text class="middle axis-name" transform="translate(10 {number(top + side / 2)}) rotate(-90)">'
        "accuracy on the target</text>"
    )
    longest = max((len(_shortened(point.label)) for point in points), default=0)
    width, height = column + max(154, 6.6 * longest), max(top + side + 42, *(place + 12 for place in places))
    return picture(round(width), round(height), "scatter", description, body)


def _shortened(label: str) -> str:
    return label if len(label) <= 40 else label[:39] + "…"


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones (ascending), at least `gap` apart, inside [low, high] if there is room."""
    places = list(wanted)
    for _ in range(60):
        for position in range(1, len(places)):
            missing = gap - (places[position] - places[position - 1])
            if missing > 0.01:
                places[position - 1] -= missing / 2
                places[position] += missing / 2
        if places:
            places[0] = max(places[0], low)
            places[-1] = min(places[-1], high) if len(places) * gap <= high - low else places[-1]
    for position in range(1, len(places)):
        places[position] = max(places[position], places[position - 1] + gap)
    return places
