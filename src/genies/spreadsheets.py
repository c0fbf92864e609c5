"""Comma-separated tables that a spreadsheet can open: no text in them becomes a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# What spreadsheets take for the start of a formula: = + - @ and their full-width forms, also behind a tab or line end.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED = re.compile(r'[,"\r\n]')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A header line and a line for each row: None is an empty field, numbers are the shortest text that reads back.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, as OWASP recommends against CSV
    injection; `as_written` takes it away again.
    """
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    return "".join(f"{','.join(map(_field, line))}\n" for line in lines)


def _field(value: object) -> str:
    """A field that no spreadsheet runs; numbers, and texts that are numbers, stay as they are."""
    text = "" if value is None else str(value)
    if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    # csv.writer leaves a carriage return without quotes, which ends the line for every reader.
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def as_written(field: str) -> str:
    """The text behind a field that to_csv wrote.

    >>> as_written("'=1+1"), as_written("''=1+1"), as_written("'tis"), as_written("-5")
    ('=1+1', "'=1+1", "'tis", '-5')
    """
    quoted = field.startswith("'") and _FORMULA.match(field) and not _NUMBER.fullmatch(field[1:])
    return field[1:] if quoted else field
