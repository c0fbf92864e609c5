"""A table to read in Markdown and in LaTeX; names from data are escaped in both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell of a table to read."""

    text: str
    interval: str = ""
    """As [0.941, 0.979]."""
    strong: bool = False
    """The best of its column, or not to be told from it."""


@dataclass(frozen=True)
class TextTable:
    """A table to read: a caption, a header and rows of cells; `names` columns of text, then numbers."""

    caption: str
    header: list[str]
    rows: list[list[Cell]]
    names: int


_MARKDOWN = re.compile(r"([\\`*|<\[\]])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a cell too.

    >>> print(markdown_text("a|b <c> *d*"))
    a\\|b \\<c> \\*d\\*
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is.

    >>> print(latex_text("alpaca_mmlu 50% > {x}"))
    alpaca\\_mmlu 50\\% \\textgreater{} \\{x\\}
    """
    return "".join(_LATEX.get(each, each) for each in " ".join(text.split()))


def markdown_table(table: TextTable) -> str:
    """A Markdown table with padded columns: names to the left, numbers to the right."""
    lines = [list(map(markdown_text, table.header))]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(table.header))]
    rule = ["-" * width if column < table.names else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join(
        "| " + " | ".join(_padded(line, widths, table.names)) + " |" for line in [lines[0], rule, *lines[1:]]
    )


def _padded(line: Sequence[str], widths: Sequence[int], names: int) -> list[str]:
    return [
        cell.ljust(width) if column < names else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    text = f"**{text}**" if cell.strong else text
    return f"{text} {cell.interval}" if cell.interval else text


def latex_table(table: TextTable) -> str:
    """A longtable with the rules of booktabs, which breaks over pages."""
    columns = "l" * table.names + "r" * (len(table.header) - table.names)
    header = " & ".join(map(latex_text, table.header)) + r" \\"
    rows = [" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows]
    caption = rf"\caption{{{latex_text(table.caption)}}}\\"
    top = [rf"\begin{{longtable}}{{{columns}}}", caption, r"\toprule", header, r"\midrule", r"\endhead"]
    return "\n".join([*top, *rows, r"\bottomrule", r"\end{longtable}", ""])


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text).replace(r" \textgreater{} ", r" $\rightarrow$ ")
    text = rf"\textbf{{{text}}}" if cell.strong else text
    return rf"{text} {{\scriptsize {cell.interval}}}" if cell.interval else text
