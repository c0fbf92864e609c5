"""Markdown tables and escaped text.

`tabulate` (and pandas, which calls it) is not used for two reasons. It does not escape cells, so a name with a bar
breaks the row, and by default it reformats text that looks like a number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_MARKS = re.compile(r"[\\`*|<\[\]~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def escaped(text: str) -> str:
    r"""Text escaped for Markdown, on one line, also for a cell of a table.

    Underscores inside a word are not markup and are not escaped. Unprintable characters become escape sequences.

    >>> print(escaped("a|b <c> *d* alpaca_mmlu _e_\n\x1b"))
    a\|b \<c> \*d\* alpaca_mmlu \_e\_ \\x1b
    """
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in " ".join(text.split())
    )
    return _MARKS.sub(r"\\\g<0>", shown)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> list[str]:
    """The lines of a table, padded for reading as plain text. Cells are Markdown.

    numbers: the columns, from 0, that are aligned right.

    >>> print("\\n".join(table(["shift", "n"], [["a > b", "10"], ["c > d", "7"]], numbers=[1])))
    | shift |   n |
    | ----- | --: |
    | a > b |  10 |
    | c > d |   7 |
    """
    lines = [header, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    rule = [f"{'-' * (width - 1)}{':' if column in numbers else '-'}" for column, width in enumerate(widths)]
    return [_line(line, widths, numbers) for line in (header, rule, *rows)]


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Collection[int]) -> str:
    padded = (
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"
