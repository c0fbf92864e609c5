"""The main job as a person runs it, with real subprocesses."""

import json
import re
import subprocess
import sys

import pytest

from tests.support.project import ARGPARSE_EVAL, LITERAL_EVAL, LITERAL_TRAIN, Project

DOCUMENTED_COLUMNS = [
    *("source", "target", "target_reference", "generalization_accuracy", "baseline_accuracy"),
    *("baseline_intervention", "target_tuned_capability", "target_tuned_capability_intervention"),
    *("source_ID_accuracy", "RMS_calibration_error", "differential_elicitation", "RMS_calibration_formula"),
]


def test_the_table_holds_the_figures_worked_out_by_hand(project: Project) -> None:
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    first, second, third = project.table()
    assert list(first)[: len(DOCUMENTED_COLUMNS)] == DOCUMENTED_COLUMNS
    # Tuned to prefer the longer response: wrong on every short one; the untuned baseline does the same.
    assert (first["source"], first["target"], first["target_reference"]) == ("long", "short", "short")
    assert float(first["generalization_accuracy"]) == 0.0
    assert float(first["baseline_accuracy"]) == 0.0
    assert float(first["target_tuned_capability"]) == 1.0
    assert float(first["source_ID_accuracy"]) == 1.0
    assert float(first["differential_elicitation"]) == 0.0
    # Every pair at 1/4: wrong at a confidence of 3/4.
    assert float(first["RMS_calibration_error"]) == pytest.approx(0.75, abs=1e-12)
    assert first["RMS_calibration_formula"] == "confidence"
    assert float(second["generalization_accuracy"]) == 0.75
    assert float(second["baseline_accuracy"]) == 0.75
    # Tuned to prefer the shorter: one of four; capability of the reference on mixed is three of four.
    assert float(third["generalization_accuracy"]) == 0.25
    assert float(third["target_tuned_capability"]) == 0.75
    assert float(third["differential_elicitation"]) == pytest.approx((0.25 - 0.75) / 0.75, abs=1e-12)
    assert "| long > short" in done.stdout
    assert "mean of 3 shifts" in done.stdout


def test_a_step_runs_once_however_many_rows_need_it(project: Project) -> None:
    project.metrics()
    assert project.trained() == ["base-long", "base-mixed", "base-short"]
    assert len([log for log in project.logs() if log.name.startswith("evaluate-")]) == 4


def test_the_second_run_starts_no_subprocess_and_writes_the_same_bytes(project: Project) -> None:
    project.metrics()
    table, logs = project.output.read_bytes(), project.logs()
    done = project.metrics()
    assert done.returncode == 0
    assert project.logs() == logs
    assert project.output.read_bytes() == table
    assert "0 jobs run" in done.stdout


def test_evaluations_keep_unknown_keys_and_say_where_they_come_from(project: Project) -> None:
    project.metrics(eval_kwargs={"confidence": 0.9})
    value = json.loads(project.evaluation("length", "base-long", "mixed").read_text())
    assert value["note"] == "kept"
    assert value["eval_probabilities"][:2] == [0.9, 0.9]
    provenance = value["provenance"]
    assert provenance["argv"][-2:] == ["--confidence", "0.9"]
    assert provenance["parts"]["kwargs"] == {"confidence": 0.9}
    assert len(provenance["fingerprint"]) == 64
    assert provenance["versions"]["python"]
    assert provenance["seconds"] > 0


def test_source_and_target_folders_pair_item_by_item(project: Project) -> None:
    folder = project.folder / "distributions"
    done = project.metrics(
        path_to_distribution_shift_pairs=None,
        source_dirs=[str(folder / "long") + "/", "short"],
        target_dirs=["short", str(folder / "mixed")],
    )
    assert done.returncode == 0, done.stderr
    assert [(row["source"], row["target"]) for row in project.table()] == [("long", "short"), ("short", "mixed")]


def test_a_trailing_slash_changes_nothing(project: Project) -> None:
    project.metrics()
    logs = project.logs()
    done = project.metrics(base_model_dir=f"{project.base_model}/", intervention_dir=f"{project.length}//")
    assert done.returncode == 0
    assert project.logs() == logs


def test_a_target_reference_is_where_the_capability_is_measured(project: Project) -> None:
    project.shifts([("long", "short", "mixed")])
    project.metrics()
    (row,) = project.table()
    assert row["target_reference"] == "mixed"
    assert float(row["target_tuned_capability"]) == 0.75
    assert project.trained() == ["base-long", "base-mixed"]


def test_a_reference_with_arguments_of_its_own_is_a_model_of_its_own(project: Project) -> None:
    project.shifts([("long", "mixed"), ("mixed", "mixed")])
    done = project.metrics(train_kwargs={"sign": -1}, target_tuned_train_kwargs={"sign": 1})
    assert done.returncode == 0, done.stderr
    first, second = project.table()
    assert float(first["generalization_accuracy"]) == 0.25
    assert float(first["target_tuned_capability"]) == 0.75
    assert float(second["source_ID_accuracy"]) == 0.25
    assert project.trained() == ["base-long", "base-mixed", "base-mixed-target_tuned"]


@pytest.mark.parametrize("train_source", [None, LITERAL_TRAIN], ids=["argparse", "python literals"])
def test_an_intervention_in_any_style_works_from_a_path_with_spaces_and_umlauts(
    project: Project, train_source: str | None
) -> None:
    train = train_source or (project.length / "train.py").read_text()
    evaluate = LITERAL_EVAL if train_source else ARGPARSE_EVAL
    theirs = project.intervention("Länge, 长度 'und' \"mehr\"", train, evaluate)
    folder = project.distribution("Ünïcode, [name] 'x'", [True] * 4, [True, False])
    done = project.metrics(
        intervention_dir=theirs,
        target_tuned_capability_intervention=theirs,
        path_to_distribution_shift_pairs=None,
        source_dirs=["long"],
        target_dirs=[str(folder)],
        train_kwargs={"sign": -1},
    )
    assert done.returncode == 0, done.stderr
    (row,) = project.table()
    assert row["target"] == folder.name
    assert float(row["generalization_accuracy"]) == 0.5
    assert float(row["source_ID_accuracy"]) == 0.0


def test_a_dry_run_writes_nothing_and_says_what_would_run(project: Project) -> None:
    before = sorted(project.folder.rglob("*"))
    done = project.metrics(dry_run=True)
    assert done.returncode == 0
    assert sorted(project.folder.rglob("*")) == before
    assert "train length, base-long" in done.stdout
    assert "7 jobs in the plan, 7 to run" in done.stdout
    project.metrics()
    assert "7 jobs in the plan, 0 to run" in project.metrics(dry_run=True).stdout


def test_documented_spellings_of_booleans_are_understood(project: Project) -> None:
    arguments = project.arguments()
    for flags in (["--dry_run"], ["--dry_run", "True"], ["--dry_run=true", "--verbose", "False"]):
        done = project.command("compute_generalization_metrics.py", [*arguments, *flags])
        assert "nothing was written" in done.stdout, done.stderr


def test_a_config_file_holds_the_same_names_and_the_command_line_wins(project: Project) -> None:
    config = project.folder / "run.yaml"
    config.write_text(f"output_path: {project.folder}/other.csv\ntrain_kwargs: {{sign: 1}}\ndry_run: true\n")
    done = project.metrics(config=config, dry_run=False)
    assert done.returncode == 0, done.stderr
    assert project.output.exists()
    assert not (project.folder / "other.csv").exists()


def test_one_step_commands_share_their_results_with_the_main_job(project: Project) -> None:
    places = [item for name, path in project.places().items() for item in (f"--{name}", str(path))]
    model = ["--model_dir", str(project.base_model), "--intervention_dir", str(project.length)]
    trained = project.command("train.py", [*model, "--train_distribution", "long", *places])
    assert trained.returncode == 0, trained.stderr
    assert "(trained)" in trained.stdout
    again = project.command("train.py", [*model, "--train_distribution", "long", *places])
    assert "(reused)" in again.stdout
    tuned = ["--model_dir", str(project.folder / "models/length/base-long"), "--intervention_dir", str(project.length)]
    done = project.command("evaluate.py", [*tuned, "--distributions", '["long", "mixed"]', *places])
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| mixed +\| +0\.750 \| +4 \|", done.stdout)
    project.metrics()
    assert project.trained() == ["base-long", "base-mixed", "base-short"]
    evaluations = [log for log in project.logs() if log.name.startswith("evaluate-") and log.parent.name == "base-long"]
    assert len(evaluations) == 2  # ours, and the main job's for the one distribution that was left
    retrained = project.command("train.py", [*model, "--train_distribution", "long", "--retrain", *places])
    assert "(trained)" in retrained.stdout


def test_the_harness_loads_no_torch() -> None:
    code = "import sys, genies.main_job.main, genies.commands.single; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_verbose_shows_the_output_of_the_steps(project: Project) -> None:
    assert "trained {'sign': 1}" in project.metrics(verbose=True).stderr


ASSUMING_EVAL = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--model_dir")
parser.add_argument("--distribution_dirs", type=json.loads); parser.add_argument("--output_paths", type=json.loads)
args = parser.parse_args()
for output in args.output_paths:
    found = {"eval_accuracy": 0.5, "assumptions": ["the reward is the mean of two outputs"]}
    pathlib.Path(output).write_text(json.dumps(found))
"""


def test_what_an_evaluation_assumed_about_the_model_is_printed_once_and_again_when_reused(project: Project) -> None:
    assuming = project.intervention("assuming", "", ASSUMING_EVAL)
    places = [item for name, path in project.places().items() for item in (f"--{name}", str(path))]
    argv = ["--model_dir", str(project.base_model), "--intervention_dir", str(assuming), *places]
    for _ in range(2):
        done = project.command("evaluate.py", [*argv, "--distributions", '["long", "mixed"]'])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("assumed: the reward is the mean of two outputs") == 1


def test_a_shift_file_may_name_distributions_by_path(project: Project) -> None:
    project.shifts([("long", "mixed")])
    elsewhere = project.folder / "elsewhere"
    (project.folder / "distributions").rename(elsewhere)
    (elsewhere / "mixed").rename(project.folder / "mixed")
    project.shifts([("elsewhere/long", str(project.folder / "mixed"))])
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    (row,) = project.table()
    assert (row["source"], row["target"], row["generalization_accuracy"]) == ("long", "mixed", "0.75")
