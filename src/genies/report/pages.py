"""Render pages from templates. All values are escaped, and invisible characters are written out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

import genies
from genies.data.shifts import Shift
from genies.report.embedding import file_name, script_json, visible
from genies.report.origins import Fact
from genies.report.palette import style_sheet

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Navigation:
    """A page in the navigation of all pages."""

    id: str
    title: str
    href: str


@dataclass(frozen=True)
class Site:
    """The folder of the report, and the common content of its pages."""

    folder: Path
    navigation: list[Navigation]
    origins: list[Fact]
    """The provenance of the evaluations, for the footer; empty without results."""
    live: int | None = None
    """The number of the report while a run goes on; its pages then poll the status of the run."""

    def page(self, template: str, path: str, here: str, **values: Any) -> None:
        """Write one page. `path` is a file name in the folder of the report."""
        text = (
            _environment()
            .get_template(template)
            .render(
                root="",
                here=here,
                home=self.navigation[0].href,
                navigation=self.navigation,
                origins=self.origins,
                live=self.live,
                version=genies.__version__,
                **values,
            )
        )
        (self.folder / path).write_text(text + "\n", encoding="utf-8", newline="\n")

    def assets(self) -> None:
        """Write the style sheet and the scripts."""
        shutil.copytree(_HERE / "assets", self.folder / "assets", copy_function=shutil.copyfile)
        (self.folder / "assets" / "colours.css").write_text(style_sheet(), encoding="utf-8", newline="\n")


def shift_page_name(shift: Shift) -> str:
    """The file name of a shift's page. Its parts are separated by dots, which file_name removes from parts."""
    parts = [shift.source, shift.target]
    if shift.target_reference != shift.target:
        parts.append(shift.target_reference)
    return ".".join(["shift", *map(file_name, parts), "html"])


def breakable(name: str) -> Markup:
    """A name with possible line breaks after underscores."""
    return Markup("_<wbr>").join(escape(part) for part in visible(name).split("_"))


def data_block(identity: str, value: Any) -> Markup:
    """Data for the scripts of a page, embedded in the page."""
    return Markup(f'<script type="application/json" id="{escape(identity)}">{script_json(value)}</script>')


def three(value: float | None) -> str:
    """Three decimals with a minus sign; empty for None."""
    return "" if value is None else f"{value:.3f}".replace("-", "−")


def signed(value: float | None) -> str:
    """Three decimals with a sign."""
    return "" if value is None else f"{value:+.3f}".replace("-", "−")


def p_value(value: float) -> str:
    """A p-value with three decimals and a relation, such as = 0.034 or < 0.001."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def bare_p(value: float) -> str:
    """A p-value with three decimals, or < 0.001."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seeds(counts: tuple[int, int]) -> str:
    """The number of seeds of the shifts of a row, such as 3, or 1 to 3 if they differ."""
    return f"{counts[0]}" if counts[0] == counts[1] else f"{counts[0]} to {counts[1]}"


def short_signed(value: float) -> str:
    """Two decimals with a sign, for cells of a matrix; there is no negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def slug_of(name: str) -> str:
    """A name as part of an identifier or a file name.

    >>> slug_of("Starter suite"), slug_of("GENIES")
    ('starter-suite', 'genies')
    """
    return file_name(name.lower().replace(" ", "-"))


def _seen(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.filters |= {
        "breakable": breakable,
        "data_block": data_block,
        "three": three,
        "signed": signed,
        "short_signed": short_signed,
        "p_value": p_value,
        "bare_p": bare_p,
        "seeds": seeds,
    }
    return environment
