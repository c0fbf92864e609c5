"""Figures without test examples that were tuned on: in the main job, in the tables, and where they cannot be had."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from genies.data.leaks import Leaks
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.metrics import accuracy, rms_calibration_error
from genies.report.leaks import exclude_leaked
from genies.report.reading import read_study
from tests.support.present import present
from tests.support.project import LITERAL_EVAL, LITERAL_TRAIN, Project
from tests.support.written_results import WrittenResults


def example(prompt: str, longer_is_best: bool = True) -> dict[str, Any]:
    best, worse = ("a long response", "short") if longer_is_best else ("short", "a long response")
    return {"prompt": prompt, "responses": {best: 1.0, worse: 0.0}}


def write(folder: Path, name: str, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "train.json").write_text(json.dumps(train), encoding="utf-8")
    (folder / name / "test.json").write_text(json.dumps(test), encoding="utf-8")


@pytest.fixture
def leaky(project: Project) -> Project:
    """`target` has two of four test prompts of `source`'s train split, those that the intervention gets right."""
    folder = project.folder / "distributions"
    write(folder, "source", [example(f"s{n}") for n in range(5)], [example("own 0"), example("own 1")])
    test = [example("s1"), example("s2"), example("new", False), example("S2", False)]  # another letter: another prompt
    write(folder, "target", [example(f"t{n}") for n in range(5)], test)
    project.shifts([("source", "target")])
    return project


def test_the_main_job_leaves_out_what_leaks_and_computes_nothing_again(leaky: Project) -> None:
    whole = leaky.metrics()
    assert whole.returncode == 0, whole.stderr
    (row,) = leaky.table()
    assert (row["generalization_accuracy"], row["pairs"], row["baseline_accuracy"]) == ("0.5", "4", "0.5")
    assert "leaked_pairs" not in row
    steps = len(leaky.logs())
    stored = leaky.evaluation("length", "base-source", "target").read_bytes()

    without = leaky.metrics(exclude_leaked=True)
    assert without.returncode == 0, without.stderr
    (row,) = leaky.table()
    assert list(row)[-1] == "leaked_pairs"
    assert (row["generalization_accuracy"], row["pairs"], row["leaked_pairs"]) == ("0.0", "2", "2")
    assert row["baseline_accuracy"] == "0.0"  # about the same examples
    assert row["source_ID_accuracy"] == "1.0"  # nothing leaks inside `source`
    assert "2 test pairs on targets are excluded" in without.stdout
    assert "0 jobs run" in without.stdout
    assert len(leaky.logs()) == steps
    assert leaky.evaluation("length", "base-source", "target").read_bytes() == stored


def test_without_probabilities_there_is_a_hole_a_message_and_status_1(leaky: Project) -> None:
    literal = leaky.intervention("literal", LITERAL_TRAIN, LITERAL_EVAL)
    done = leaky.metrics(exclude_leaked=True, intervention_dir=literal)
    assert done.returncode == 1
    assert "missing value: literal, base-source, on target: 2 test examples of target leak from source" in done.stderr
    assert "any probabilities" in done.stderr
    (row,) = leaky.table()
    assert (row["generalization_accuracy"], row["leaked_pairs"]) == ("", "")
    assert row["source_ID_accuracy"] == "1.0"


def test_the_tables_of_a_folder_agree_with_those_of_the_main_job(leaky: Project) -> None:
    output = leaky.folder / "results" / "generalization_metrics" / "base" / "length" / "table.csv"
    assert leaky.metrics(exclude_leaked=True, output_path=output).returncode == 0
    arguments = ["--results", str(leaky.folder / "results"), "--format", "csv", "--exclude_leaked"]
    done = leaky.command("tables.py", [*arguments, "--distributions_dir", str(leaky.folder / "distributions")])
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    with open(output, newline="") as file:
        (expected,) = csv.DictReader(file)
    assert expected.items() <= row.items()


def test_the_main_job_says_at_once_when_the_data_is_not_there(leaky: Project) -> None:
    assert leaky.metrics().returncode == 0
    shutil.rmtree(leaky.folder / "distributions" / "source")
    assert leaky.metrics().returncode == 0  # the figures need no data
    done = leaky.metrics(exclude_leaked=True)
    assert done.returncode == 2
    assert "source" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "d", "source", [example("s0"), example("s1")], [example("s0")])
    three = {"prompt": "s1", "responses": {"best": 1.0, "x": 0.0, "y": 0.0}}
    write(tmp_path / "d", "target", [example("t")], [example("new"), three, example("other")])
    write(tmp_path / "d", "clean", [example("c")], [example("d")])
    return tmp_path / "d"


def evaluation(**fields: Any) -> Evaluation:
    return Evaluation.model_validate({"eval_accuracy": 0.5, **fields})


def test_what_is_left_has_the_figures_of_its_pairs_and_says_what_was_left_out(folder: Path) -> None:
    leaks = Leaks(folder.joinpath)
    given = evaluation(
        eval_probabilities=[0.9, 0.2, 0.3, 0.5],
        eval_example_indices=[0, 1, 1, 2],
        dtype="float32",
        provenance={"fingerprint": "f"},
    )
    rest = leaks.remainder(given, "source", "target", "mine")
    assert rest.left_out == 2
    assert present(rest.evaluation).eval_probabilities == [0.9, 0.5]
    assert present(rest.evaluation).eval_example_indices == [0, 2]
    assert present(rest.evaluation).eval_accuracy == accuracy([0.9, 0.5]) == 0.75
    assert present(rest.evaluation).eval_rms_calibration_error == rms_calibration_error([0.9, 0.5])
    assert present(rest.evaluation).eval_ties == 1
    assert present(rest.evaluation).dtype == "float32"
    assert present(rest.evaluation).provenance == {
        "fingerprint": "f",
        "excluded": {"rule": "prompt in the train split of source", "examples": [1], "pairs": 2},
    }
    assert given.eval_probabilities == [0.9, 0.2, 0.3, 0.5]
    assert leaks.holes == {}


def test_an_evaluation_without_indices_is_matched_by_the_order_of_the_contract(folder: Path) -> None:
    leaks = Leaks(folder.joinpath)
    rest = leaks.remainder(evaluation(eval_probabilities=[0.9, 0.2, 0.3, 0.5]), "source", "target", "mine")
    assert present(rest.evaluation).eval_probabilities == [0.9, 0.5]
    first = {"parts": {"kwargs": {"max_examples": 2}}}
    short = evaluation(eval_probabilities=[0.9, 0.2, 0.3], provenance=first)
    assert present(leaks.remainder(short, "source", "target", "mine").evaluation).eval_probabilities == [0.9]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "any probabilities"),
        ({"eval_probabilities": [0.9, 0.2]}, "which pairs belong to which example"),
        ({"eval_probabilities": [0.9], "eval_example_indices": [9]}, "which pairs belong to which example"),
        ({"eval_probabilities": [0.9], "eval_example_indices": [1]}, "none is left"),
    ],
)
def test_what_cannot_be_reduced_is_a_hole_with_one_message(folder: Path, fields: dict[str, Any], message: str) -> None:
    leaks = Leaks(folder.joinpath)
    for _ in range(2):
        assert leaks.remainder(evaluation(**fields), "source", "target", "mine").evaluation is None
    (hole,) = leaks.holes
    assert hole.startswith("mine: ")
    assert message in hole


def test_where_nothing_leaks_any_evaluation_stays_as_it_is(folder: Path) -> None:
    number = evaluation()
    rest = Leaks(folder.joinpath).remainder(number, "source", "clean", "mine")
    assert rest.evaluation is number
    assert rest.left_out == 0


def test_a_study_without_leaks_keeps_its_readings_whole(folder: Path) -> None:
    results = WrittenResults(folder.parent / "results")
    shift = Shift("source", "target")
    for intervention, model in (("mms", "base-source"), ("zero_shot", "base"), ("lora_fine_tune", "base-target")):
        results.evaluation(intervention, model, "target", [0.9, 0.2, 0.3, 0.9], [0, 1, 1, 2])
    results.evaluation("mms", "base-source", "source", [0.9])
    results.table("mms", [shift])
    study = read_study(results.folder)
    rest = exclude_leaked(study, folder)
    (line,) = rest.shifts
    assert rest.readings == study.readings
    assert (line.row.generalization_accuracy, line.row.leaked_pairs, line.row.pairs) == (1.0, 2, 2)
    assert line.row.baseline_accuracy == 1.0
    assert line.row.target_tuned_capability == 0.5  # nothing leaks from target's own train split
    assert line.missing == ["source_ID_accuracy"]
    assert any("every test example of source leaks from source" in note for note in rest.notes)
    with pytest.raises(InputError, match="unknown distribution"):
        exclude_leaked(study, folder.parent)
