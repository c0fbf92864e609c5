"""CSV tables for spreadsheets, in which no text becomes a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# Characters that start a formula: = + - @ and their full-width forms, also after a tab or line end.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED = re.compile(r'[,"\r\n]')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A header line and one line for each row. None is an empty field; numbers have the shortest exact form.

    Text that a spreadsheet would run as a formula starts with an apostrophe, as OWASP recommends against CSV
    injection. `as_written` removes it.
    """
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    return "".join(f"{','.join(map(_field, line))}\n" for line in lines)


def _field(value: object) -> str:
    """A field that spreadsheets do not run as a formula. Numbers, also as text, are not changed."""
    text = "" if value is None else str(value)
    if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    # csv.writer does not quote a carriage return, which ends the line for all readers.
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def as_written(field: str) -> str:
    """The original text of a field that to_csv wrote.

    >>> as_written("'=1+1"), as_written("''=1+1"), as_written("'tis"), as_written("-5")
    ('=1+1', "'=1+1", "'tis", '-5')
    """
    quoted = field.startswith("'") and _FORMULA.match(field) and not _NUMBER.fullmatch(field[1:])
    return field[1:] if quoted else field
