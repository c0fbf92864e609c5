"""Text tables in Markdown and LaTeX. Names from data are escaped in both."""

from __future__ import annotations

from dataclasses import dataclass

from genies import markdown


@dataclass(frozen=True)
class Cell:
    """A cell of a text table."""

    text: str
    interval: str = ""
    """For example [0.941, 0.979]."""
    strong: bool = False
    """Whether it is bold."""


@dataclass(frozen=True)
class TextTable:
    """A text table with a caption, a header and rows of cells. The first `names` columns are text, the rest numbers."""

    caption: str
    header: list[str]
    rows: list[list[Cell]]
    names: int


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Text escaped for LaTeX.

    >>> print(latex_text("alpaca_mmlu 50% > {x}"))
    alpaca\\_mmlu 50\\% \\textgreater{} \\{x\\}
    """
    return "".join(_LATEX.get(each, each) for each in " ".join(text.split()))


def markdown_table(table: TextTable) -> str:
    """A Markdown table with padded columns, in which names are aligned left and numbers right."""
    rows = [[_markdown_cell(cell) for cell in row] for row in table.rows]
    numbers = range(table.names, len(table.header))
    return "\n".join(markdown.table([*map(markdown.escaped, table.header)], rows, numbers))


def _markdown_cell(cell: Cell) -> str:
    text = markdown.escaped(cell.text)
    text = f"**{text}**" if cell.strong else text
    return f"{text} {cell.interval}" if cell.interval else text


def latex_table(table: TextTable) -> str:
    """A LaTeX longtable with booktabs rules, which can break over pages."""
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
