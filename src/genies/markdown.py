"""Markdown tables, and text that Markdown shows as it is.

Ours, since a table needs two things that `tabulate` (and pandas, which calls it) does not do: it escapes no character
of a cell, so that a name with a bar breaks the row, and it reformats texts that look like numbers unless told not to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_MARKS = re.compile(r"[\\`*|<\[\]~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def escaped(text: str) -> str:
    r"""Text in one line that Markdown shows as it is, in a cell of a table too.

    Underscores inside a word are no markup and stay; characters that cannot be printed become escapes.

    >>> print(escaped("a|b <c> *d* alpaca_mmlu _e_\n\x1b"))
    a\|b \<c> \*d\* alpaca_mmlu \_e\_ \\x1b
    """
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in " ".join(text.split())
    )
    return _MARKS.sub(r"\\\g<0>", shown)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> list[str]:
    """The lines of a table, padded so that it reads well as plain text. Cells are Markdown.

    numbers: the columns, from 0, that are set to the right.

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
