"""What a tuned model is compared with: the untuned model on source and reference, and the best of the interventions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from genies.data.shifts import Shift
from genies.evaluation_file import Evaluation
from genies.table.doubts import assumed, mixed_formats, not_learned
from genies.table.rows import TableRow, table_row
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, Project

SHORTER_TRAIN = ARGPARSE_TRAIN.replace("default=1", "default=-1")
"""Tuned to the opposite of what the training examples show."""


def test_the_untuned_model_is_also_evaluated_on_the_source_and_on_the_target_reference(project: Project) -> None:
    project.shifts([("long", "short", "mixed")])
    assert project.metrics().returncode == 0
    (row,) = project.table()
    assert (row["baseline_source_accuracy"], row["baseline_reference_accuracy"]) == ("1.0", "0.75")
    assert list(row)[-2:] == ["baseline_source_accuracy", "baseline_reference_accuracy"]


def test_an_optional_evaluation_is_no_hole_and_reopens_no_finished_study(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    project.evaluation("always_longer", "base", "long").unlink()
    logs = project.logs()
    done = project.metrics()
    assert (done.returncode, project.logs()) == (0, logs)
    assert project.table()[0]["baseline_source_accuracy"] == ""
    assert "0 to run" in project.metrics(dry_run=True).stdout
    project.evaluation("length", "base-long", "mixed").unlink()  # something must run: it is evaluated beside that
    assert project.metrics().returncode == 0
    assert project.table()[0]["baseline_source_accuracy"] == "1.0"


def test_an_optional_evaluation_needs_neither_base_model_nor_data(project: Project) -> None:
    project.shifts([("long", "mixed"), ("short", "mixed")])
    assert project.metrics().returncode == 0
    project.evaluation("always_longer", "base", "short").unlink()
    project.evaluation("length", "base-long", "mixed").unlink()
    (project.folder / "distributions" / "short").rename(project.folder / "away")
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    assert [row["baseline_source_accuracy"] for row in project.table()] == ["1.0", ""]
    project.evaluation("length", "base-short", "mixed").unlink()
    project.base_model.rename(project.folder / "no_base")
    (project.folder / "away").rename(project.folder / "distributions" / "short")
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    assert [row["generalization_accuracy"] for row in project.table()] == ["0.75", "0.25"]


def test_the_best_intervention_on_a_target_reference_is_the_reference_there(project: Project) -> None:
    # `shorter` learns the opposite of the data: it is right on `odd`, whose test split contradicts its train split.
    shorter = project.intervention("shorter", SHORTER_TRAIN, ARGPARSE_EVAL)
    project.distribution("odd", [True] * 4, [False] * 4)
    project.shifts([("long", "mixed"), ("long", "odd")])
    out = project.folder / "out"
    changes = {
        "intervention_dir": [str(project.length), str(shorter)],
        "target_tuned_capability_intervention": "best",
        "output_path": out / "{intervention}.csv",
    }
    planned = project.metrics(**changes, dry_run=True).stdout
    assert "train shorter, base-odd" in planned
    assert "train length, base-odd" in planned
    done = project.metrics(**changes)
    assert done.returncode == 0, done.stderr
    for name in ("length", "shorter"):
        project.output = out / f"{name}.csv"
        found = [
            (row["target_tuned_capability_intervention"], row["target_tuned_capability"]) for row in project.table()
        ]
        assert found == [("length", "0.75"), ("shorter", "1.0")]


def test_the_best_is_not_known_while_one_of_them_is_missing(project: Project) -> None:
    broken = project.intervention("broken", "raise SystemExit('no luck')", ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    project.output = project.folder / "out" / "length.csv"
    done = project.metrics(
        intervention_dir=[str(project.length), str(broken)],
        target_tuned_capability_intervention="best",
        output_path=project.folder / "out" / "{intervention}.csv",
    )
    assert done.returncode == 1
    (row,) = project.table()
    assert (row["target_tuned_capability_intervention"], row["target_tuned_capability"]) == ("best", "")
    assert row["generalization_accuracy"] == "0.75"


def row(**values: object) -> TableRow:
    names = {
        "source": "math",
        "target": "code",
        "target_reference": "code",
        "baseline_intervention": "zero_shot",
        "target_tuned_capability_intervention": "lora",
        "intervention": "mms",
        "base_model": "pythia",
    }
    return TableRow(**{**dict.fromkeys(TableRow.__annotations__), **names, **values})  # type: ignore[arg-type]


def test_runs_that_gained_nothing_from_tuning_are_counted_and_the_worst_are_named() -> None:
    lost = row(source_ID_accuracy=0.5, baseline_source_accuracy=0.6)
    equal = replace(lost, source="poems", source_ID_accuracy=0.6)
    gained = replace(lost, source="law", source_ID_accuracy=0.9)
    said = not_learned([lost, replace(lost, target="law"), equal, gained])
    assert said is not None
    assert said.startswith("2 of 3 tuned models are not more accurate than the untuned one")
    assert said.index("mms on math: 0.500 against 0.600") < said.index("mms on poems: 0.600 against 0.600")
    assert "law" not in said
    assert not_learned([gained]) is None


def test_a_reference_that_does_not_beat_the_baseline_is_named_once_for_all_rows() -> None:
    one = row(target_tuned_capability=0.7, baseline_reference_accuracy=0.7)
    said = not_learned([one, replace(one, intervention="ccs", seed=1)])
    assert said is not None
    assert "1 of 1 reference is not more accurate than the baseline" in said
    assert "lora on code: 0.700 against 0.700" in said


@pytest.mark.parametrize("missing", ["source_ID_accuracy", "baseline_source_accuracy"])
def test_nothing_is_said_of_what_is_not_known_nor_of_the_baseline_itself(missing: str) -> None:
    lost = row(source_ID_accuracy=0.5, baseline_source_accuracy=0.6)
    unknown: dict[str, Any] = {missing: None}
    assert not_learned([replace(lost, **unknown)]) is None
    assert not_learned([replace(lost, intervention="zero_shot")]) is None


def test_nothing_is_said_of_an_intervention_that_tunes_nothing() -> None:
    lost = row(source_ID_accuracy=0.5, baseline_source_accuracy=0.6, target_tuned_capability=0.7)
    both = [replace(lost, intervention="length"), replace(lost, baseline_reference_accuracy=0.9)]
    said = not_learned(both, untuned={"length"})
    assert said is not None
    assert "1 of 1 tuned model is" in said
    assert "length" not in said
    assert not_learned(both, untuned={"length", "mms", "lora"}) is None


def test_a_scorer_that_gives_every_pair_one_half_is_not_said_to_have_gained_nothing() -> None:
    half = Evaluation(eval_accuracy=0.5, eval_probabilities=[0.5] * 4)
    # As accurate as a coin, but it does prefer one of the responses.
    unsure = Evaluation(eval_accuracy=0.5, eval_probabilities=[0.55, 0.45, 0.55, 0.45])

    def found(evaluation: Evaluation) -> str | None:
        return not_learned(
            [
                table_row(
                    Shift("math", "code"),
                    base_model="pythia",
                    intervention="coin",
                    seed=None,
                    baseline_intervention="zero_shot",
                    capability_intervention="lora",
                    generalization=evaluation,
                    source_id=evaluation,
                    baseline=None,
                    capability=None,
                    baseline_source=Evaluation(eval_accuracy=0.6),
                )
            ]
        )

    assert found(half) is None
    assert "coin on math: 0.500 against 0.600" in (found(unsure) or "")


def test_evaluations_in_different_number_formats_are_counted_by_base_model() -> None:
    def made(dtype: str | None) -> Evaluation:
        return Evaluation(eval_accuracy=0.5, dtype=dtype)

    given = [("a", made("float32")), ("a", made("bfloat16")), ("a", made("float32")), ("b", made("float32"))]
    (line,) = mixed_formats(given)
    assert line.startswith("a: ")
    assert "bfloat16 1, float32 2" in line
    assert mixed_formats([("a", made("float32")), ("a", made(None))]) == []


def test_the_terminal_says_that_number_formats_are_mixed_and_what_did_not_learn(project: Project) -> None:
    told = ARGPARSE_EVAL.replace('"note": "kept"', '"dtype": pathlib.Path(folder).name == "long" and "a" or "b"')
    theirs = project.intervention("told", ARGPARSE_TRAIN, told)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs, target_tuned_capability_intervention=theirs)
    assert re.search(r"number formats.*\(a 1, b 2\)", done.stdout)
    assert "told on long: 1.000 against 1.000" in done.stdout


def test_an_assumption_of_several_evaluations_is_told_once() -> None:
    evaluations = [
        Evaluation(eval_accuracy=1.0, assumptions=given) for given in (["raw", "raw"], ["raw"], ["eos"], None)
    ]
    assert assumed(evaluations) == ["assumed in 2 evaluations: raw", "assumed in 1 evaluation: eos"]
