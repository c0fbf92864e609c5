"""Suites stand apart: no mean, test or correction is over shifts of two of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genies.data.shifts import Shift
from genies.report.reading import read_study
from genies.report.setup import differing, setup_line
from genies.report.suites import GENIES, OTHER, STARTER, suite_of, suites
from genies.report.writing import Content, write_report
from tests.report.conftest import loaded
from tests.support.written_results import WrittenResults

STARTER_SHIFT = Shift("starter_everyday", "starter_sums", label="extreme", category="skill")
OFFICIAL = [Shift("math", "cooking"), Shift("code", "us_history")]


@pytest.mark.parametrize(
    ("shift", "suite"),
    [
        (STARTER_SHIFT, STARTER),
        (OFFICIAL[0], GENIES),
        (Shift("alpaca_mmlu", "sycophancy_answer", "arc_easy"), GENIES),
        (Shift("math", "mine"), OTHER),
        (Shift("", "bench_safety"), "bench"),
    ],
)
def test_a_shift_belongs_to_the_suite_of_its_distributions(shift: Shift, suite: str) -> None:
    assert suite_of(shift, {"bench_safety": "bench"}.get) == suite


@pytest.fixture
def two_suites(tmp_path: Path) -> WrittenResults:
    results = WrittenResults(tmp_path / "results")
    for name, right in (("mms", 20), ("zero_shot", 30)):
        for shift in OFFICIAL:
            results.shift(name, shift, (right, 36, 30, 38))
        results.shift(name, STARTER_SHIFT, (70 - right - 15, 36, 30, 38))
        results.table(name, [*OFFICIAL, STARTER_SHIFT])
    return results


def test_each_suite_has_its_own_means_and_files_and_none_is_over_all(two_suites: WrittenResults) -> None:
    parts = suites(read_study(two_suites.folder))
    assert [(part.name, len(part.study.shifts)) for part in parts] == [(GENIES, 4), (STARTER, 2)]
    report = two_suites.folder.parent / "report"
    write_report(report, Content(two_suites.folder))
    names = {path.name for path in (report / "tables").iterdir()}
    assert {"genies-means.csv", "starter-suite-means.csv"} <= names
    assert "means.csv" not in names
    for name, count in (("genies", 2), ("starter-suite", 1)):
        summary = json.loads((report / "tables" / f"{name}-summary.json").read_text(encoding="utf-8"))
        assert len(summary["groups"][0]["shifts"]) == count
        assert len(loaded(report, f"details/{name}-heat-0")) == 2 * count
    index = (report / "index.html").read_text(encoding="utf-8")
    assert "over 3 shifts" not in index
    assert index.count('<p class="lead">') == 2


def test_targets_without_a_source_are_apart_from_the_shifts_of_their_suite(two_suites: WrittenResults) -> None:
    alone = Shift("", "starter_sums")
    two_suites.evaluation("reward_model", "base", alone.target, [0.9] * 30 + [0.2] * 10)
    two_suites.table("reward_model", [alone])
    parts = {part.name: {each.shift for each in part.study.shifts} for part in suites(read_study(two_suites.folder))}
    assert parts[STARTER] == {STARTER_SHIFT}
    assert parts[f"{STARTER}, targets alone"] == {alone}
    study = read_study(two_suites.folder)
    only = replace(study, shifts=[each for each in study.shifts if not each.shift.source])
    assert [part.name for part in suites(only)] == [STARTER]


def with_arguments(path: Path, train: dict[str, Any], evaluate: dict[str, Any]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    value["provenance"] = {"parts": {"kwargs": evaluate, "model": {"kwargs": train}}}
    path.write_text(json.dumps(value), encoding="utf-8")


def test_arguments_that_differ_between_compared_rows_are_named(two_suites: WrittenResults) -> None:
    shifts = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL]
    assert differing(shifts) == []  # nothing is recorded
    for each in shifts:
        assert each.generalization is not None
        train = {"max_examples": 100 if each.shift == OFFICIAL[0] else 200, "num_train_steps": 20, "seed": 1}
        with_arguments(each.generalization.path, train, {"dtype": "float32"})
    read = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL]
    (warning,) = differing([each for each in read if not each.is_baseline])
    assert warning == "training, max_examples: 100 (mms); 200 (mms)"
    for each in read:  # half of the rows have an untuned model, whose identity is its files alone
        if each.shift == OFFICIAL[0] and not each.is_baseline and each.generalization is not None:
            value = json.loads(each.generalization.path.read_text(encoding="utf-8"))
            value["provenance"]["parts"]["model"] = {"files": "a4ab"}
            each.generalization.path.write_text(json.dumps(value), encoding="utf-8")
    again = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL and not each.is_baseline]
    assert differing(again) == []
    line = setup_line(read, read[0].base_model)
    assert "tuned on up to 100 to 200 examples" in line
    assert "20 training steps" in line


def test_an_argument_of_models_is_not_compared_with_a_method_that_runs_none(two_suites: WrittenResults) -> None:
    shifts = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL and not each.is_baseline]
    for number, each in enumerate(shifts):
        assert each.generalization is not None
        with_arguments(each.generalization.path, {}, {"dtype": "float32"} if number else {})
    read = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL and not each.is_baseline]
    assert differing(read) == []
    assert read[0].generalization is not None
    value = json.loads(read[0].generalization.path.read_text(encoding="utf-8"))
    read[0].generalization.path.write_text(json.dumps({**value, "dtype": "bfloat16"}), encoding="utf-8")
    read = [each for each in read_study(two_suites.folder).shifts if each.shift in OFFICIAL and not each.is_baseline]
    (warning,) = differing(read)
    assert warning.startswith("evaluation, dtype: default (")
