"""Against a Markdown parser, which must give back every cell as the text that went in."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from genies.markdown import escaped, table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = [
    *"\\`*_|<>[]()~$&;#!-+=.:'\"",
    "a",
    "1",
    " ",
    "ä",
    "**",
    "~~",
    "&amp;",
    "<b>",
    "](x)",
    "__",
    "\n",
    "\x1b",
    "\u2028",
]


def rendered(lines: list[str]) -> list[list[str]]:
    """The cells of the one table that a parser sees in Markdown."""
    page = PARSER.render("\n".join(lines))
    assert re.fullmatch(r"<table>.*</table>\s*", page, re.DOTALL), page
    cells = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    ]
    assert not any("<" in cell for row in cells for cell in row), page  # no markup in any cell
    return [[html.unescape(cell) for cell in row] for row in cells]


def as_shown(text: str) -> str:
    """Text in one line, with what cannot be printed spelt out."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


@given(st.lists(st.tuples(*[st.lists(st.sampled_from(MARKUP)).map("".join)] * 2), min_size=1))
def test_every_cell_is_shown_as_the_text_that_it_is(rows) -> None:
    lines = table(["shift", "n"], [[*map(escaped, row)] for row in rows], numbers=[1])
    assert rendered(lines) == [["shift", "n"], *([*map(as_shown, row)] for row in rows)]


@pytest.mark.parametrize("text", ["__init__", "_a_", "alpaca_mmlu", "a_", "(_b_)", "~~x~~", "&lt;", "http://a_b_c"])
def test_names_with_markup_are_shown_as_they_are(text) -> None:
    assert rendered(table(["name"], [[escaped(text)]])) == [["name"], [text]]


def test_names_of_the_usual_kind_are_left_alone_and_columns_line_up() -> None:
    lines = table(["shift", "accuracy"], [["alpaca_mmlu > raven", "0.5"], ["a > b", "0.25"]], numbers=[1])
    assert lines == [
        "| shift               | accuracy |",
        "| ------------------- | -------: |",
        "| alpaca_mmlu > raven |      0.5 |",
        "| a > b               |     0.25 |",
    ]
