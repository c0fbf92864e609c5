import csv
import io

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genies.spreadsheets import as_written, to_csv

FORMULAS = [
    "=1+1",
    "@SUM(A1)",
    "+1+1",
    "-1+1",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("http://x")',
    "＝1",
    "'=1",
    "-",
    "+a",
]


def fields(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("formula", FORMULAS)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_reads_back(formula) -> None:
    header, (field,) = fields(to_csv([formula], [{formula: formula}]))
    assert field == f"'{formula}"
    assert header == [field]
    assert as_written(field) == formula


def test_numbers_stay_numbers_and_holes_empty_fields() -> None:
    values = [-0.5, -1e-07, 1e300, -3, "-5", "+2.5", "-.5e-3", "a-b", "'tis", None]
    text = to_csv([*"abcdefghij"], [dict(zip("abcdefghij", values, strict=True))])
    assert text.splitlines()[1] == "-0.5,-1e-07,1e+300,-3,-5,+2.5,-.5e-3,a-b,'tis,"
    read = pandas.read_csv(io.StringIO(text))
    assert read.loc[0, [*"abcdefg"]].tolist() == [-0.5, -1e-07, 1e300, -3, -5, 2.5, -0.0005]


@given(st.text())
def test_every_text_reads_back_and_none_begins_a_formula(text) -> None:
    (_, (field, _)) = fields(to_csv(["name", "n"], [{"name": text, "n": 1}]))
    assert as_written(field) == text
    try:
        float(field)
    except ValueError:
        assert not field.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
