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
    """A LaTeX longtable with booktabs rules, which can break over pages.

    Columns of numbers are S columns of siunitx, which align numbers and set minus signs. Intervals have columns of
    their own.
    """
    columns = range(table.names, len(table.header))
    with_interval = {place for place in columns if any(row[place].interval for row in table.rows)}
    kinds = "l" * table.names + "".join(_S + ("l" if place in with_interval else "") for place in columns)
    header = [latex_text(title) for title in table.header[: table.names]]
    for place in columns:
        title = latex_text(table.header[place])
        header.append(rf"\multicolumn{{2}}{{c}}{{{title}}}" if place in with_interval else f"{{{title}}}")
    rows = []
    for row in table.rows:
        parts = [_latex_name(cell) for cell in row[: table.names]]
        for place in columns:
            parts.append(_latex_number(row[place]))
            if place in with_interval:
                interval = row[place].interval.replace("-", "$-$")
                parts.append(rf"{{\scriptsize {interval}}}" if interval else "")
        rows.append(" & ".join(parts) + r" \\")
    caption = rf"\caption{{{latex_text(table.caption)}}}\\"
    top = [rf"\begin{{longtable}}{{{kinds}}}", caption, r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
    return "\n".join([*top, r"\endhead", *rows, r"\bottomrule", r"\end{longtable}", ""])


_S = "S[table-format=-1.3]"


def _latex_name(cell: Cell) -> str:
    return latex_text(cell.text).replace(r" \textgreater{} ", r" $\rightarrow$ ")


def _latex_number(cell: Cell) -> str:
    """A number for an S column; text is in braces, which siunitx does not parse."""
    try:
        float(cell.text)
    except ValueError:
        text = latex_text(cell.text).replace(r"\textless{}", "$<$")
        return f"{{{text}}}" if text else ""
    return rf"\bfseries {cell.text}" if cell.strong else cell.text
