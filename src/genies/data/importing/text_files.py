"""Rows of JSONL and CSV files, plain or compressed with gzip.

The standard library reads them line by line. Readers that work block by block treat an unclosed quote as one long
field, reject columns with mixed types, and do not report the invalid row.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genies.data.importing.rows import MAX_ROW_BYTES, Malformed, Values
from genies.errors import InputError
from genies.files import object_without_repeats, open_regular


@contextmanager
def _open(file: Path) -> Iterator[gzip.GzipFile | io.BufferedReader]:
    with open_regular(file) as opened:
        if file.suffix == ".gz":
            with gzip.GzipFile(fileobj=opened) as unpacked:
                yield unpacked
        else:
            yield opened


def jsonl(file: Path, wanted: list[str]) -> Iterator[Values]:
    """The rows of a file with one object per line, or of a file that is one list of objects."""
    if _is_list(file):
        yield from _list(file)
        return
    with _open(file) as lines:
        line_number = 0
        while line := lines.readline(MAX_ROW_BYTES + 1):
            line_number += 1
            if len(line) > MAX_ROW_BYTES:
                raise InputError(f"{file}, line {line_number} is longer than {MAX_ROW_BYTES:,} bytes")
            if line.strip():
                yield _object(line, file, line_number)


def _is_list(file: Path) -> bool:
    with _open(file) as opened:
        return opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


MAX_LIST_BYTES = 1 << 28
"""A larger JSON list, which is read as a whole, is refused; JSONL has no limit."""


def _list(file: Path) -> Iterator[Values]:
    with _open(file) as opened:
        content = opened.read(MAX_LIST_BYTES + 1)
    if len(content) > MAX_LIST_BYTES:
        raise InputError(f"{file}: a JSON list of more than {MAX_LIST_BYTES >> 20} MiB; expected JSONL")
    try:
        rows = json.loads(content.decode("utf-8-sig"), object_pairs_hook=object_without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON ({str(error)[:200]})") from None
    for number, row in enumerate(rows):
        yield row if isinstance(row, dict) else Malformed("", f"entry {number} is not an object; expected columns")


def _object(line: bytes, file: Path, line_number: int) -> Values:
    where = f"line {line_number}"
    try:
        value = json.loads(line.decode("utf-8-sig"), object_pairs_hook=object_without_repeats)
    except UnicodeDecodeError as error:
        return Malformed("", f"{where} is not UTF-8 text (byte {error.start})")
    except RecursionError:
        return Malformed("", f"{where} is nested too deeply")
    except ValueError as error:
        return Malformed("", f"{where} is not valid JSON ({error})")
    if not isinstance(value, dict):
        return Malformed("", f"{where} is not an object; expected columns and values")
    return value


def jsonl_columns(file: Path) -> list[str]:
    fault = ""
    for values in jsonl(file, []):
        if not isinstance(values, Malformed):
            return list(values)
        fault = fault or f": {values}"
    raise InputError(f"{file} has no rows{fault}; expected one JSON object per line")


def _csv_records(file: Path) -> Iterator[list[str]]:
    # Bytes that are not UTF-8 become surrogates here, so that the field that contains them can be reported.
    before = csv.field_size_limit(MAX_ROW_BYTES)
    try:
        with _open(file) as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as text:
            reader = csv.reader(text, delimiter="\t" if ".tsv" in file.suffixes else ",", strict=True)
            try:
                yield from (record for record in reader if record)
            except csv.Error as error:
                raise InputError(f"{file}, line {reader.line_num} is not valid CSV: {error}") from None
    finally:
        csv.field_size_limit(before)


def csv_columns(file: Path) -> list[str]:
    header = next(_csv_records(file), None)
    if header is None:
        raise InputError(f"{file} is empty; expected a header line and rows")
    if len(set(header)) < len(header):
        raise InputError(f"{file}: the header contains a column twice: {', '.join(header)[:200]}")
    return header


def csv_rows(file: Path, wanted: list[str]) -> Iterator[Values]:
    records = _csv_records(file)
    header = next(records, [])
    for record in records:
        if len(record) != len(header):
            yield Malformed("", f"expected {len(header)} fields as in the header, got {len(record)}")
        else:
            yield dict(zip(header, record, strict=True))
