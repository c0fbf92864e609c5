"""Variants of interventions, each with arguments of its own, and arguments that one of them does not take."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from genies.main_job.study_file import read_study_file
from tests.harness.test_failures import one_message
from tests.support.project import ROOT, Project


def study(project: Project, **changes: Any) -> Path:
    """A study file with two variants of `length`."""
    value = {
        "base_models": [str(project.base_model)],
        "variants": [
            {"name": "longer", "dir": str(project.length), "train_kwargs": {"sign": 1}},
            {"name": "shorter", "dir": str(project.length), "train_kwargs": {"sign": -1}},
        ],
        "shifts": [["long", "mixed"]],
        "baseline": str(project.always_longer),
        "reference": "longer",
        **changes,
    }
    path = project.folder / "study.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def run(project: Project, path: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    """The main job on a study file alone."""
    values = {
        **project.places(),
        "study": path,
        "output_path": project.folder / "out" / "{model}" / "{intervention}.csv",
        **changes,
    }
    items = [item for name, value in values.items() for item in (f"--{name}", str(value))]
    return project.command("compute_generalization_metrics.py", items)


def table(project: Project, variant: str) -> list[dict[str, str]]:
    with open(project.folder / "out" / "base" / f"{variant}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_two_variants_of_one_folder_have_models_evaluations_and_tables_of_their_own(project: Project) -> None:
    done = run(project, study(project))
    assert done.returncode == 0, done.stderr
    assert [float(table(project, name)[0]["generalization_accuracy"]) for name in ("longer", "shorter")] == [0.75, 0.25]
    assert table(project, "shorter")[0]["target_tuned_capability_intervention"] == "longer"
    assert sorted(path.name for path in (project.folder / "models").glob("[!.]*")) == ["base", "longer", "shorter"]
    logs = project.logs()
    assert run(project, study(project)).returncode == 0
    assert project.logs() == logs


def test_a_name_on_the_command_line_keeps_what_is_there(project: Project) -> None:
    project.shifts([("long", "mixed")])
    for name, sign, accuracy in (("one", 1, "0.75"), ("other", -1, "0.25")):
        arguments = {"train_kwargs": {"sign": sign}, "target_tuned_train_kwargs": {}, "variant_name": name}
        assert project.metrics(**arguments).returncode == 0
        assert project.table()[0]["generalization_accuracy"] == accuracy
    assert {"one", "other", "length"} <= {path.name for path in (project.folder / "models").iterdir()}
    logs = project.logs()
    arguments = {"train_kwargs": {"sign": 1}, "target_tuned_train_kwargs": {}, "variant_name": "one"}
    assert project.metrics(**arguments).returncode == 0
    assert project.logs() == logs
    both = [str(project.length), str(project.always_longer)]
    assert "--study FILE" in one_message(project.metrics(intervention_dir=both, variant_name="one"))
    assert "path separator" in one_message(project.metrics(variant_name="a/b"))


def test_a_result_says_what_it_is(project: Project) -> None:
    path = study(project, seeds=[3], variants=[{"name": "mine", "dir": str(project.length)}], reference="mine")
    for script in ("train.py", "eval.py"):
        text = (project.length / script).read_text()
        text = text.replace('parser.add_argument("--model_dir")', 'parser.add_argument("--model_dir"); SEED', 1)
        (project.length / script).write_text(text.replace("SEED", 'parser.add_argument("--seed")'))
    assert run(project, path).returncode == 0
    record = json.loads((project.folder / "models/mine/base-long-seed3/training_step.json").read_text())
    made = {"variant": "mine", "base_model": "base", "source": "long", "seed": 3}
    assert record["identity"] == {"role": "train", **made}
    value = json.loads(project.evaluation("mine", "base-long-seed3", "mixed").read_text())
    assert value["provenance"]["identity"] == {"role": "evaluate", **made}
    untuned = json.loads(project.evaluation("always_longer", "base", "mixed").read_text())["provenance"]["identity"]
    assert (untuned["source"], untuned["seed"]) == (None, None)


def test_the_best_variant_is_the_reference(project: Project) -> None:
    assert run(project, study(project, reference="best")).returncode == 0
    (row,) = table(project, "shorter")
    assert (row["target_tuned_capability_intervention"], row["target_tuned_capability"]) == ("longer", "0.75")


def test_a_variant_may_evaluate_in_another_way(project: Project) -> None:
    sure = {"name": "sure", "dir": str(project.length), "eval_kwargs": {"confidence": 0.9}}
    assert run(project, study(project, variants=[str(project.length), sure], reference="sure")).returncode == 0
    for name, p in (("length", 0.75), ("sure", 0.9)):
        value = json.loads(project.evaluation(name, "base-long", "long").read_text())
        assert value["eval_probabilities"] == [p] * 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_models": []}, ["base_models"]),
        ({"variant": []}, ["study.yaml: variant: unknown; known: base_models, variants, "]),
        ({"variants": [{"name": "a/b", "dir": "mms"}]}, ["variants.0", "path separator"]),
        ({"variants": [{"name": "best", "dir": "mms"}]}, ["best"]),
        ({"variants": [{"dir": "mms"}, {"dir": "mms", "train_kwargs": {"seed": 1}}]}, ["two variants", "'mms'"]),
        ({"variants": [{"dir": "mms", "train_kwargs": {"model_dir": "x"}}]}, ["variants.0, train_kwargs", "model_dir"]),
        ({"variants": [{"name": "ccs", "dir": "mms"}]}, ["name of another intervention"]),
        ({"shifts": [["long"]]}, ["shifts, entry 0"]),
        ({"shifts": [["long", "mixd"]]}, ["shifts, entry 0, field target", "mixed"]),
        ({"seeds": [-1]}, ["seeds.0"]),
        ({"seeds": []}, ["seeds: "]),
        (
            {"seeds": [0], "variants": [{"dir": "mms", "train_kwargs": {"seed": 1}}], "reference": "mms"},
            ["train_kwargs of mms", "seed"],
        ),
    ],
)
def test_a_fault_of_a_study_file_is_one_message(project: Project, changes: dict[str, Any], words: list[str]) -> None:
    message = one_message(run(project, study(project, **changes)))
    for word in words:
        assert word in message
    assert project.logs() == []


def test_a_study_file_stands_for_the_arguments_that_it_replaces(project: Project) -> None:
    message = one_message(run(project, study(project), train_kwargs='{"sign": 1}'))
    assert "--train_kwargs cannot be given with --study" in message
    assert "no_such.yaml does not exist" in one_message(run(project, project.folder / "no_such.yaml"))


def declare(folder: Path, **fields: Any) -> None:
    (folder / "intervention.json").write_text(json.dumps(fields))


def test_an_argument_that_one_variant_does_not_take_is_its_fault_alone(project: Project) -> None:
    declare(project.length, train_arguments=["sign"], eval_arguments=["confidence"])
    assert run(project, study(project)).returncode == 0
    before = {name: table(project, name) for name in ("longer", "shorter")}
    wrong = {"name": "shorter", "dir": str(project.length), "train_kwargs": {"sing": -1}}
    right = {"name": "longer", "dir": str(project.length), "train_kwargs": {"sign": 1}}
    done = run(project, study(project, variants=[right, wrong], shifts=[["long", "mixed"], ["short", "mixed"]]))
    assert done.returncode == 2
    assert "train.py of shorter has no argument 'sing'; did you mean 'sign'? It has: sign" in done.stderr
    assert len(table(project, "longer")) == 2
    assert table(project, "shorter") == before["shorter"]  # no good table is emptied
    assert not (project.folder / "models" / "shorter" / "base-short").exists()


def test_a_value_that_one_variant_cannot_have_is_its_fault_alone(project: Project) -> None:
    sign = {"type": "integer", "minimum": -1, "maximum": 1}
    confidence = {"type": "number", "exclusiveMinimum": 0}
    declare(project.length, train_arguments={"sign": sign}, eval_arguments={"confidence": confidence})
    right = {"name": "longer", "dir": str(project.length), "train_kwargs": {"sign": "1"}}  # as on a command line
    wrong = {"name": "shorter", "dir": str(project.length), "train_kwargs": {"sign": "banana"}}
    wrong["eval_kwargs"] = {"confidence": 0}
    done = run(project, study(project, variants=[right, wrong]))
    assert done.returncode == 2
    (said,) = (line for line in done.stderr.splitlines() if "shorter" in line)
    assert "--train_kwargs: train.py of shorter: --sign: expected a whole number, got 'banana'" in said
    assert "--eval_kwargs: eval.py of shorter: --confidence" in said
    assert table(project, "longer")
    assert not (project.folder / "models" / "shorter").exists()


def test_a_value_for_all_is_refused_before_anything_runs(project: Project) -> None:
    declare(project.length, train_arguments={"sign": {"enum": [-1, 1]}})
    assert "--sign: expected '-1' or '1', got '3'" in one_message(project.metrics(train_kwargs={"sign": 3}))
    assert project.logs() == []
    assert project.metrics(train_kwargs={"sign": -1}).returncode == 0


def test_with_a_variant_at_fault_a_combined_table_is_left_as_it_was(project: Project) -> None:
    declare(project.length, train_arguments=["sign"])
    assert run(project, study(project)).returncode == 0
    combined = project.folder / "out" / "combined-all.csv"
    before = combined.read_bytes()
    variants = [
        {"name": name, "dir": str(project.length), "train_kwargs": {key: 1}}
        for name, key in (("longer", "sign"), ("other", "sign"), ("shorter", "sing"))
    ]
    assert run(project, study(project, variants=variants)).returncode == 2
    assert combined.read_bytes() == before
    assert table(project, "other")


def test_when_all_are_at_fault_nothing_runs(project: Project) -> None:
    declare(project.length, eval_arguments=[])
    message = one_message(project.metrics(eval_kwargs={"confidence": 0.9}))
    assert "--eval_kwargs: eval.py of length has no argument 'confidence'; it has: none" in message
    assert project.logs() == []


def test_arguments_for_the_interventions_reach_baseline_and_reference_as_far_as_they_take_them(
    project: Project,
) -> None:
    reference = project.intervention("reference", *((project.length / f).read_text() for f in ("train.py", "eval.py")))
    declare(reference, train_arguments=[], eval_arguments=[])
    declare(project.always_longer, eval_arguments=[])
    project.shifts([("long", "mixed")])
    arguments = {"train_kwargs": {"sign": -1}, "eval_kwargs": {"confidence": 0.9}}
    done = project.metrics(target_tuned_capability_intervention=reference, **arguments)
    assert done.returncode == 0, done.stderr
    (row,) = project.table()
    assert (row["generalization_accuracy"], row["target_tuned_capability"]) == ("0.25", "0.75")
    for words in (
        "reference reference has no argument 'sign'",
        "baseline always_longer has no argument 'confidence'",
    ):
        assert words in done.stderr
    refused = project.metrics(
        target_tuned_capability_intervention=reference, target_tuned_train_kwargs={"sign": 1}, **arguments
    )
    assert "train.py of reference has no argument 'sign'" in one_message(refused)  # this was meant for it alone


def test_a_reference_that_is_also_an_intervention_at_fault_runs_with_what_it_takes(project: Project) -> None:
    declare(project.length, train_arguments=[])
    other = project.intervention("other", *((project.length / f).read_text() for f in ("train.py", "eval.py")))
    project.shifts([("long", "mixed")])
    project.output = project.folder / "out" / "other.csv"
    done = project.metrics(
        intervention_dir=[str(project.length), str(other)],
        train_kwargs={"sign": -1},
        output_path=project.folder / "out" / "{intervention}.csv",
    )
    assert done.returncode == 2
    assert "train.py of length has no argument 'sign'" in done.stderr
    (row,) = project.table()
    assert (row["generalization_accuracy"], row["target_tuned_capability"]) == ("0.25", "0.75")
    assert not (project.folder / "out" / "length.csv").exists()


def test_a_reference_of_a_study_file_that_is_at_fault_stops_the_study(project: Project) -> None:
    declare(project.length, train_arguments=["sign"])
    right = {"name": "longer", "dir": str(project.length), "train_kwargs": {"sign": 1}}
    wrong = {"name": "shorter", "dir": str(project.length), "train_kwargs": {"sing": -1}}
    message = one_message(run(project, study(project, variants=[right, wrong], reference="shorter")))
    assert "shorter has no argument 'sing'" in message
    done = run(project, study(project, variants=[right, wrong], reference="best"))  # of those that run
    assert done.returncode == 2
    assert table(project, "longer")[0]["target_tuned_capability_intervention"] == "longer"


def test_seeds_for_an_intervention_that_takes_none_are_its_fault(project: Project) -> None:
    declare(project.length, train_arguments=["sign"], eval_arguments=["seed"])
    assert "--seeds: train.py of length has no argument 'seed'" in one_message(project.metrics(seeds=[0, 1]))


@pytest.mark.parametrize(
    "text",
    ["[]", '{"train_argument": []}', '{"train_arguments": {"x": {"type": "real"}}}', '{"tunes": "perhaps"}', "{"],
)
def test_a_bad_declaration_is_one_message(project: Project, text: str) -> None:
    (project.length / "intervention.json").write_text(text)
    assert "length/intervention.json" in one_message(project.metrics())


def test_an_intervention_that_tunes_nothing_has_one_evaluation_with_the_baseline(project: Project) -> None:
    declare(project.always_longer, tunes=False)
    project.shifts([("long", "mixed"), ("short", "mixed")])
    done = project.metrics(intervention_dir=project.always_longer)
    assert done.returncode == 0, done.stderr
    assert project.trained() == ["base-mixed"]  # by the reference
    assert [path.parent.name for path in project.logs() if path.match("always_longer/*/*")] == ["base"]
    for row in project.table():
        assert row["generalization_accuracy"] == row["baseline_accuracy"] == "0.75"
        assert row["source_ID_accuracy"] == row["baseline_source_accuracy"]
    provenance = json.loads(project.evaluation("always_longer", "base", "mixed").read_text())["provenance"]
    assert provenance["tunes"] is False


def test_targets_alone_are_for_interventions_that_tune_nothing(project: Project) -> None:
    targets = {"path_to_distribution_shift_pairs": None, "target_dirs": ["mixed", "short"]}
    message = one_message(project.metrics(**targets))
    assert "the shift to mixed has no source, but length tunes a model on one" in message
    declare(project.always_longer, tunes=False)
    done = project.metrics(intervention_dir=project.always_longer, **targets)
    assert done.returncode == 0, done.stderr
    assert "no shift has a source" in done.stdout
    assert "baseline" not in done.stdout.split("no shift has")[0]
    assert project.trained() == []
    assert len(project.logs()) == 1
    for row, accuracy in zip(project.table(), ("0.75", "0"), strict=True):
        assert float(row["generalization_accuracy"]) == float(accuracy)
        empty = ("source", "baseline_accuracy", "target_tuned_capability", "source_ID_accuracy")
        assert [row[name] for name in empty] == [""] * 4
    (project.folder / "targets.json").write_text(json.dumps([{"target": "mixed", "category": "style"}]))
    again = project.metrics(
        intervention_dir=project.always_longer, path_to_distribution_shift_pairs=project.folder / "targets.json"
    )
    assert "0 jobs run" in again.stdout
    assert project.table()[0]["category"] == "style"


def test_the_documented_study_is_the_one_in_the_examples() -> None:
    example = (ROOT / "examples" / "configs" / "study.yaml").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    assert f"```yaml\n{example.split(chr(10), 1)[1]}```" in text
    read = read_study_file(ROOT / "examples" / "configs" / "study.yaml")
    assert [(each.name, str(each.dir)) for each in read.variants] == [
        ("", "mms"),
        ("mms_32", "mms"),
        ("mms_short", "mms"),
    ]
