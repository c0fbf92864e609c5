"""The colours of the report, for the style sheet and for figures in papers.

Blue means above or right, and rust below or wrong: the pair differs for readers who do not see red or green. The sign
also has a mark (▲ or ▼), so that it can be read in grey. Text on each colour has a contrast of at least 4.5 (WCAG AA).
"""

from __future__ import annotations

COLOURS = {
    "surface": ("#ffffff", "#1a1d22"),
    "sunken": ("#f3f3ef", "#20242a"),
    "ink": ("#1e2126", "#e8e7e3"),
    "muted": ("#5d626c", "#9ba0aa"),
    "line": ("#e3e3dd", "#2b3037"),
    "accent": ("#1f5fa8", "#82b6f0"),
    "up": ("#1f6fb2", "#6db3ee"),
    "down": ("#a94a1f", "#ee9165"),
    "capability": ("#5d7f3a", "#9fc274"),
}
"""The colours in light and dark mode, by the name of their property in the style sheet."""

STEPS = (0.02, 0.08, 0.16, 0.26, 0.38)
"""Differences from the untuned model at which the colour of a cell changes."""

SHARES = (12, 22, 34, 47, 55)
"""Percentage of the colour of the sign in each step; the rest is the surface."""


def style_sheet() -> str:
    """The colours as properties and classes: u1 to u5 for above, d1 to d5 for below, h0 for not significant, and s1 to
    s5 for improbable tokens."""
    lines = ["/* Generated from palette.py. */", ":root {"]
    lines += [f"  --{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items()]
    lines.append("}")
    for letter, name in (("u", "up"), ("d", "down")):
        for number, share in enumerate(SHARES, start=1):
            mix = f"color-mix(in oklab, var(--{name}) {share}%, var(--surface))"
            lines.append(f".{letter}{number} > *, i.{letter}{number} {{ background: {mix}; }}")
    for number, share in enumerate(SHARES, start=1):
        lines.append(f".s{number} {{ background: color-mix(in oklab, var(--down) {share}%, var(--surface)); }}")
    lines.append(".h0 > *, i.h0 { background: var(--sunken); }")
    return "\n".join(lines) + "\n"


def light(name: str) -> str:
    """A colour in light mode."""
    return COLOURS[name][0]


def cell_colour(kind: str) -> str:
    """The colour of a cell in light mode. kind: u1 to u5, d1 to d5; all others are not significant or not tested."""
    if kind[0] not in "ud" or not kind[1:].isdecimal():
        return light("sunken")
    return mixed(light("up" if kind[0] == "u" else "down"), light("surface"), SHARES[int(kind[1:]) - 1] / 100)


def mixed(colour: str, other: str, share: float) -> str:
    """A mixture in the Oklab colour space (Ottosson 2020), as color-mix(in oklab, ...) in CSS.

    >>> mixed("#1f6fb2", "#ffffff", 1.0), mixed("#000000", "#ffffff", 0.5)
    ('#1f6fb2', '#636363')
    """
    parts = [share * one + (1 - share) * two for one, two in zip(_oklab(colour), _oklab(other), strict=True)]
    return _hexadecimal(parts)


_TO_CONE = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_FROM_LAB = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_FROM_CONE = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)

_Matrix = tuple[tuple[float, float, float], ...]


def _times(matrix: _Matrix, vector: list[float]) -> list[float]:
    return [sum(one * two for one, two in zip(row, vector, strict=True)) for row in matrix]


def _oklab(colour: str) -> list[float]:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return _times(_TO_LAB, [each ** (1 / 3) for each in _times(_TO_CONE, linear)])


def _hexadecimal(lab: list[float]) -> str:
    linear = _times(_FROM_CONE, [each**3 for each in _times(_FROM_LAB, lab)])
    clipped = [min(max(each, 0.0), 1.0) for each in linear]
    channels = [12.92 * each if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055 for each in clipped]
    return "#" + "".join(f"{round(255 * each):02x}" for each in channels)
