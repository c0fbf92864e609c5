"""Access and print: axe-core finds nothing, a narrow page shows where it scrolls, and paper cuts nothing off."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from genies.report.pages import shift_page_name
from tests.report.conftest import Tab
from tests.support.made_report import SHIFTS, MadeReport

AXE = Path(__file__).resolve().parents[1] / "support" / "vendor" / "axe-core" / "axe.min.js"
PAGES = (
    "index.html",
    "compare.html#" + urlencode({"a": "mms", "b": "zero_shot", "s": "starter_sums>starter_everyday"}),
    quote(shift_page_name(SHIFTS[0])),
    "samples.html",
    "samples.html#" + urlencode({"d": "starter_everyday", "q": "the"}),
)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_no_violation(chromium: Any, made: MadeReport, width: int, scheme: Any) -> None:
    tab = Tab(chromium, made.folder, width, color_scheme=scheme)
    found = []
    for address in PAGES:
        page = tab.open(address)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(result["passes"]) > 10
        found += [
            f"{address}: {each['id']}: {node['html'][:120]}" for each in result["violations"] for node in each["nodes"]
        ]
    tab.context.close()
    assert found == []


CUT = """() => [...document.querySelectorAll('table, svg, .text, p, h1, h2, h3')]
  .filter(each => each.offsetParent !== null)
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    || (each.classList.contains('text') && each.scrollHeight > each.clientHeight + 4))
  .map(each => each.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [707, 733], ids=["A4", "Letter"])
def test_paper_is_light_and_cuts_nothing(chromium: Any, made: MadeReport, width: int) -> None:
    tab = Tab(chromium, made.folder, width, color_scheme="dark")
    for address in PAGES:
        page = tab.open(address)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        lightness = "Math.max(...getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3).map(Number))"
        assert page.evaluate(lightness) < 100, f"the text of {address} is light on paper"
        assert page.evaluate(CUT) == [], address
        page.emulate_media(media="screen", color_scheme="dark")
    tab.context.close()


def test_a_narrow_page_shows_where_a_table_scrolls_and_folds_the_filters(chromium: Any, made: MadeReport) -> None:
    tab = Tab(chromium, made.folder, 390)
    page = tab.open("index.html")
    region = page.locator(".scroll", has=page.locator("table.sortable")).first
    assert "more-right" in region.get_attribute("class")
    region.evaluate("each => each.scrollTo(10000, 0)")
    page.locator(".scroll:not(.more-right)", has=page.locator("table.sortable")).first.wait_for()
    page = tab.open(PAGES[-1])
    assert page.locator("#filters").is_hidden()
    page.locator("#more-filters summary").click()
    assert page.locator("#filters").is_visible()
    tab.context.close()
    assert tab.faults == []
