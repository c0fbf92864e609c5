"""The table as a pure function of rows and evaluations."""

from dataclasses import replace
from pathlib import Path

import pytest

from genies.data.shifts import Shift
from genies.evaluation_file import Evaluation
from genies.harness.plan import Plan, Row
from genies.main_job.tables import make_table
from genies.table.rows import COLUMNS, TableRow, shifts_with_holes
from genies.table.text import to_csv, to_markdown

PATHS = tuple(map(Path, ("generalization", "source_id", "baseline", "capability", "on_source", "on_reference")))


def plan_of(*shifts: Shift) -> Plan:
    first, second, third, reference, *optional = PATHS
    rows = [Row("base", "mms", None, each, first, second, third, {"lora": reference}, *optional) for each in shifts]
    return Plan([], rows, "zero_shot", "lora")


def table_of(shifts: tuple[Shift, ...] | Shift, known: dict[Path, Evaluation]) -> list[TableRow]:
    plan = plan_of(*(shifts if isinstance(shifts, tuple) else (shifts,)))
    return make_table(plan.rows, plan, known)


def evaluations(*accuracies: float, **more: object) -> dict[Path, Evaluation]:
    return {
        path: Evaluation.model_validate({"eval_accuracy": accuracy, **more})
        for path, accuracy in zip(PATHS, accuracies, strict=False)
    }


def test_numbers_are_written_so_that_they_read_back_the_same() -> None:
    rows = table_of((Shift("a", "b")), evaluations(1 / 3, 0.1 + 0.2, 0.25, 0.7))
    header, line = to_csv(rows).splitlines()
    values = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(values["generalization_accuracy"]) == 1 / 3
    assert values["source_ID_accuracy"] == "0.30000000000000004"
    assert float(values["differential_elicitation"]) == (1 / 3 - 0.25) / 0.7
    assert header.split(",") == COLUMNS


def test_what_is_not_there_is_a_hole_and_never_a_number() -> None:
    (row,) = table_of((Shift("a", "b")), evaluations(0.5, 0.6))
    assert row.baseline_accuracy is None
    assert row.differential_elicitation is None
    assert to_csv([row]).splitlines()[1].startswith("a,b,b,0.5,,zero_shot,,lora,0.6,,,")
    assert shifts_with_holes([row]) == [row]


def test_a_capability_of_zero_leaves_elicitation_empty() -> None:
    (row,) = table_of((Shift("a", "b")), evaluations(0.5, 0.5, 0.5, 0.0))
    assert row.differential_elicitation is None
    assert shifts_with_holes([row]) == []


@pytest.mark.parametrize(
    ("more", "error", "formula"),
    [
        ({"eval_rms_calibration_error": 0.25}, 0.25, "published"),
        ({"eval_rms_calibration_error": 0.25, "eval_probabilities": [0.55, 0.55]}, 0.25, "published"),
        ({"eval_rms_calibration_error": 0.25, "provenance": {}}, 0.25, "weighted"),
        ({"eval_rms_calibration_error": 0.25, "eval_rms_calibration_error_published": 0.5}, 0.25, "weighted"),
        # A stored value of the older formula is never shown where the probabilities give today's.
        ({"eval_rms_calibration_error": 0.0, "provenance": {}, "eval_probabilities": [0.55, 0.55]}, 0.45, "confidence"),
        (
            {
                "eval_rms_calibration_error": 0.0,
                "eval_rms_calibration_formula": "weighted",
                "eval_probabilities": [0.45, 0.45],
            },
            0.55,
            "confidence",
        ),
        ({"eval_rms_calibration_error": 0.25, "eval_rms_calibration_formula": "confidence"}, 0.25, "confidence"),
        ({"eval_rms_calibration_error": 0.25, "eval_rms_calibration_formula": "published"}, 0.25, "published"),
        ({"eval_probabilities": [1.0, 1.0]}, 0.0, "confidence"),
        ({}, None, None),
    ],
)
def test_the_calibration_formula_is_named(more: dict[str, object], error: float | None, formula: str | None) -> None:
    (row,) = table_of((Shift("a", "b")), evaluations(0.5, 0.5, 0.5, 0.5, **more))
    assert row.RMS_calibration_error == (None if error is None else pytest.approx(error, abs=1e-12))
    assert row.RMS_calibration_formula == formula


def test_the_mean_counts_a_shift_listed_twice_once_and_says_so() -> None:
    both = (Shift("a", "b"), Shift("a", "c"), Shift("a", "b"))
    rows = table_of(both, evaluations(0.5, 0.5, 0.5, 0.5, eval_rms_calibration_error=0.1))
    assert "mean of 2 shifts (of 3 rows)" in to_markdown(rows)


def test_the_mean_over_seeds_says_how_many_shifts_and_seeds_it_is_over() -> None:
    (row,) = table_of((Shift("a", "b")), evaluations(0.5, 0.5, 0.5, 0.5))
    rows = [replace(row, target=target, seed=seed) for seed in (0, 1, 2) for target in ("b", "c")]
    assert "mean of 2 shifts, 3 seeds" in to_markdown(rows)
    assert "mean of 1 shift, 3 seeds" in to_markdown(rows[::2])
    incomplete = [*rows[:-1], replace(rows[-1], source_ID_accuracy=None)]
    assert "mean of 5 rows of 2 shifts (of 6 rows)" in to_markdown(incomplete)


def test_a_name_with_a_bar_does_not_break_the_markdown_table() -> None:
    rows = table_of((Shift("a|b", "c")), evaluations(0.5, 0.5, 0.5, 0.5))
    assert "a\\|b > c" in to_markdown(rows)
