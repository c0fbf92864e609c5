"""What is reused, what is computed again, and that the cache never answers for something else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genies.harness.job import Job
from genies.harness.plan import evaluation_job, training_job
from genies.harness.study import Variant
from tests.support.project import ARGPARSE_TRAIN, Project


@pytest.fixture
def finished(project: Project) -> Project:
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    return project


def steps_of(project: Project, **changes: object) -> list[str]:
    """What one more run starts: a name like train:base-long for each subprocess."""
    before = set(project.logs())
    done = project.metrics(**changes)
    assert done.returncode == 0, done.stderr
    return sorted(f"{log.name.split('-')[0]}:{log.parent.name}" for log in set(project.logs()) - before)


def change_train_arguments(project: Project) -> dict[str, object]:
    return {"train_kwargs": {"sign": -1}}


def change_intervention_file(project: Project) -> dict[str, object]:
    (project.length / "train.py").write_text(ARGPARSE_TRAIN + "\n# changed\n")
    return {}


def change_helper_file(project: Project) -> dict[str, object]:
    (project.length / "inside").mkdir()
    (project.length / "inside" / "words.json").write_text("new")
    return {}


def change_base_model(project: Project) -> dict[str, object]:
    (project.base_model / "model.safetensors").write_bytes(b"other weights")
    return {}


EVERYTHING_OF_LENGTH = ["evaluate:base-long", "evaluate:base-mixed", "train:base-long", "train:base-mixed"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_train_arguments, EVERYTHING_OF_LENGTH),
        (change_intervention_file, EVERYTHING_OF_LENGTH),
        (change_helper_file, EVERYTHING_OF_LENGTH),
        (change_base_model, ["evaluate:base", *EVERYTHING_OF_LENGTH]),
    ],
    ids=["train_kwargs", "train.py", "a file in a folder of the intervention", "weights of the base model"],
)
def test_a_changed_input_of_training_is_computed_again(
    finished: Project, change: Callable[[Project], dict[str, object]], expected: list[str]
) -> None:
    assert steps_of(finished, **change(finished)) == expected


def test_a_changed_eval_py_trains_nothing_again(finished: Project) -> None:
    (finished.length / "eval.py").write_text((finished.length / "eval.py").read_text() + "\n# a comment\n")
    assert steps_of(finished) == ["evaluate:base-long", "evaluate:base-mixed"]


def test_notes_in_the_folder_of_an_intervention_change_nothing(finished: Project) -> None:
    for name in ("README.md", "notes.txt", "history.rst"):
        (finished.length / name).write_text("new")
    assert steps_of(finished) == []


def test_a_module_counts_for_the_script_that_imports_it(finished: Project) -> None:
    eval_py = finished.length / "eval.py"
    eval_py.write_text("import words\n" + eval_py.read_text())
    (finished.length / "words.py").write_text("")
    assert steps_of(finished) == ["evaluate:base-long", "evaluate:base-mixed"]
    (finished.length / "words.py").write_text("new = True")
    assert steps_of(finished) == ["evaluate:base-long", "evaluate:base-mixed"]


def test_other_evaluation_arguments_evaluate_again_and_train_nothing(finished: Project) -> None:
    expected = ["evaluate:base", "evaluate:base-long", "evaluate:base-mixed"]
    assert steps_of(finished, eval_kwargs={"confidence": 0.9}) == expected
    assert float(finished.table()[0]["RMS_calibration_error"]) != pytest.approx(0.0)


def test_arguments_equal_in_python_but_not_on_a_command_line_are_different(finished: Project) -> None:
    steps_of(finished, eval_kwargs={"confidence": 1})
    assert steps_of(finished, eval_kwargs={"confidence": 1.0}) != []
    assert steps_of(finished, eval_kwargs={"confidence": 1.0}) == []


def test_a_changed_test_split_evaluates_again(finished: Project) -> None:
    finished.distribution("mixed", [True, True, True, False], [False, False, False, False])
    steps = steps_of(finished)
    assert "evaluate:base-long" in steps
    assert "train:base-long" not in steps
    assert float(finished.table()[0]["generalization_accuracy"]) == 0.0


def test_stray_files_and_metadata_of_a_distribution_change_nothing(finished: Project) -> None:
    folder = finished.folder / "distributions" / "mixed"
    (folder / "extra.json").write_text("[]")
    (folder / ".test.json.swp").write_bytes(b"\0")
    (folder / "metadata.json").write_text('{"id": "another name"}')
    assert steps_of(finished) == []


def test_a_copied_base_model_of_other_name_does_not_share_results(finished: Project) -> None:
    other = shutil.copytree(finished.base_model, finished.folder / "models" / "other")
    steps = steps_of(finished, base_model_dir=other)
    assert steps == [
        "evaluate:other",
        "evaluate:other-long",
        "evaluate:other-mixed",
        "train:other-long",
        "train:other-mixed",
    ]


def test_retraining_replaces_models_and_never_reuses_their_evaluations(finished: Project) -> None:
    assert steps_of(finished, retrain_models=True) == EVERYTHING_OF_LENGTH
    assert steps_of(finished) == []


def test_evaluations_of_a_replaced_model_are_stale_when_the_run_was_killed_in_between(finished: Project) -> None:
    # As left by a retraining killed before its evaluations: other files in the folder, the same fingerprint.
    folder = finished.folder / "models" / "length" / "base-long"
    shutil.rmtree(folder)
    train = (finished.length / "train.py").read_text()
    (finished.length / "train.py").write_text(train)
    places = [item for name, path in finished.places().items() for item in (f"--{name}", str(path))]
    model = ["--model_dir", str(finished.base_model), "--intervention_dir", str(finished.length)]
    (finished.folder / "distributions" / "long" / "metadata.json").write_text("{}")
    assert finished.command("train.py", [*model, "--train_distribution", "long", *places]).returncode == 0
    assert steps_of(finished) == []  # it trained to the same files
    record = json.loads((folder / "training_step.json").read_text())
    (folder / "model.json").write_text('{"sign": -1}')
    from genies.file_hashes import FileHashes
    from genies.folder_hashes import model_content

    record["content"] = model_content(FileHashes(None), folder)
    (folder / "training_step.json").write_text(json.dumps(record))
    assert steps_of(finished) == ["evaluate:base-long"]
    assert float(finished.table()[0]["generalization_accuracy"]) == 0.25


def test_cached_evaluations_can_be_refused(finished: Project) -> None:
    expected = ["evaluate:base", "evaluate:base-long", "evaluate:base-mixed"]
    assert steps_of(finished, use_cached_evaluations=False) == expected


def test_neither_base_model_nor_tuned_models_nor_data_are_needed_when_all_evaluations_are_there(
    finished: Project,
) -> None:
    table = finished.output.read_bytes()
    shutil.rmtree(finished.folder / "models")
    shutil.rmtree(finished.folder / "distributions")
    assert steps_of(finished) == []
    assert finished.output.read_bytes() == table


def test_a_missing_evaluation_is_made_without_training_again(finished: Project) -> None:
    finished.evaluation("length", "base-long", "mixed").unlink()
    assert steps_of(finished) == ["evaluate:base-long"]


def test_a_missing_model_is_trained_only_when_an_evaluation_needs_it(finished: Project) -> None:
    shutil.rmtree(finished.folder / "models" / "length")
    assert steps_of(finished) == []
    finished.evaluation("length", "base-long", "mixed").unlink()
    assert steps_of(finished) == ["evaluate:base-long", "train:base-long"]


def test_a_damaged_evaluation_is_made_again(finished: Project) -> None:
    path = finished.evaluation("length", "base-long", "mixed")
    path.write_text(path.read_text()[:40])
    assert steps_of(finished) == ["evaluate:base-long"]


def test_evaluations_from_elsewhere_are_used_and_called_unverified(finished: Project) -> None:
    path = finished.evaluation("length", "base-long", "mixed")
    path.write_text(json.dumps({"eval_accuracy": 0.375, "eval_rms_calibration_error": 0.25}))
    logs = finished.logs()
    done = finished.metrics()
    assert finished.logs() == logs
    assert "1 unverified" in done.stdout
    assert str(path) in done.stdout
    (row,) = finished.table()
    assert row["generalization_accuracy"] == "0.375"
    assert row["RMS_calibration_formula"] == "published"


def test_evaluations_that_cannot_be_compared_with_an_absent_base_model_say_so(finished: Project) -> None:
    assert "base model folder" not in finished.metrics().stdout
    finished.evaluation("length", "base-long", "mixed").write_text('{"eval_accuracy": 0.375}')  # from elsewhere
    away = finished.base_model.rename(finished.folder / "away")
    done = finished.metrics()
    assert done.returncode == 0, done.stderr
    assert "5 evaluations, 0 jobs run, 5 unverified" in done.stdout
    assert f"  base model folder {finished.base_model} does not exist; 4 of them" in done.stdout
    away.rename(finished.base_model)
    assert "base model folder" not in finished.metrics().stdout


def test_a_model_from_elsewhere_is_evaluated_as_it_is(project: Project) -> None:
    project.shifts([("long", "mixed")])
    folder = project.folder / "models" / "length" / "base-long"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"sign": -1}')
    project.metrics()
    assert project.trained() == ["base-mixed"]
    assert float(project.table()[0]["generalization_accuracy"]) == 0.25
    assert steps_of(project) == []
    (folder / "model.json").write_text('{"sign": 1}')
    assert steps_of(project) == ["evaluate:base-long"]
    assert float(project.table()[0]["generalization_accuracy"]) == 0.75


def training(project: Project, source: Path, kwargs: dict[str, object]) -> Job:
    variant = Variant("length", project.length, kwargs)
    return training_job(variant, project.base_model, source.name, source, project.folder / "model")


def test_batch_size_and_device_are_not_part_of_what_is_compared(finished: Project) -> None:
    from genies.file_hashes import FileHashes
    from genies.harness.fingerprint import Identities, differences

    declared = {"without_effect": ["device", "gradient_checkpointing", "save_steps", "tensorboard", "hub_private"]}
    declared["without_effect_in_32_bits"] = ["batch_tokens"]
    (finished.length / "intervention.json").write_text(json.dumps(declared))
    folder = finished.folder / "distributions" / "long"
    given: list[dict[str, object]] = [
        {},
        {"batch_tokens": 64, "device": "cuda"},
        {"gradient_checkpointing": True, "save_steps": 5, "tensorboard": True, "hub_private": False},
        {"dtype": "bfloat16"},
    ]
    plain, sized, watched, other = (
        Identities(FileHashes(None)).parts(training(finished, folder, {"seed": 1, **kwargs}), "long")
        for kwargs in given
    )
    assert plain == sized == watched
    assert plain != other
    older = {**plain, "kwargs": {**plain["kwargs"], "save_steps": 5}}
    assert differences(plain, older, {"save_steps"}) == []


def published_adapter(project: Project, name: str = "someone/base") -> Path:
    folder = project.folder / "elsewhere" / "rewards"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
    (folder / "model.json").write_text('{"sign": 1}')
    return folder


def evaluations_started(project: Project, model: Path, **kwargs: str) -> int:
    before = len(project.logs())
    places = [item for name, path in project.places().items() for item in (f"--{name}", str(path))]
    argv = ["--model_dir", str(model), "--intervention_dir", str(project.length), "--distributions", "long", *places]
    done = project.command("evaluate.py", [*argv, "--eval_kwargs", json.dumps(kwargs)])
    assert done.returncode == 0, done.stderr
    return len(project.logs()) - before


def test_a_published_adapter_is_evaluated_again_when_its_base_model_changes(project: Project) -> None:
    adapter = published_adapter(project)
    base = adapter.parent / "base"  # beside it
    shutil.copytree(project.base_model, base)
    assert evaluations_started(project, adapter) == 1
    assert evaluations_started(project, adapter) == 0
    (base / "config.json").write_text('{"other": 1}')
    assert evaluations_started(project, adapter) == 1
    shutil.rmtree(base)
    assert evaluations_started(project, adapter) == 0  # not needed where the evaluation is there


def test_a_base_model_that_an_argument_names_counts_by_content(project: Project) -> None:
    for script in ("train.py", "eval.py"):
        text = (project.length / script).read_text()
        more = 'parser.add_argument("--base_model_dir")\nargs = parser.parse_args()'
        (project.length / script).write_text(text.replace("args = parser.parse_args()", more))
    adapter = published_adapter(project, "nowhere/to-be-found")
    base = str(project.base_model)
    assert evaluations_started(project, adapter, base_model_dir=base) == 1
    assert evaluations_started(project, adapter, base_model_dir=base) == 0
    (project.base_model / "config.json").write_text('{"other": 1}')
    assert evaluations_started(project, adapter, base_model_dir=base) == 1


def test_an_ordinary_evaluation_depends_on_what_it_always_did(finished: Project) -> None:
    from genies.file_hashes import FileHashes
    from genies.folder_hashes import model_content
    from genies.harness.fingerprint import Identities

    hashes = FileHashes(None)
    identities = Identities(hashes, finished.folder)
    tuned = finished.folder / "models" / "length" / "base-long"
    (tuned / "adapter_config.json").write_text('{"base_model_name_or_path": "base"}')
    trained = json.loads((tuned / "training_step.json").read_text())["parts"]
    folder = finished.folder / "distributions" / "mixed"
    for model_dir, model in (
        (tuned, trained),
        (finished.base_model, {"files": model_content(hashes, finished.base_model)}),
    ):
        job = evaluation_job(Variant("length", finished.length, {}, {"k": 1}), model_dir, None, model_dir)
        parts = identities.parts(job.with_target("mixed", folder, folder), "mixed", model)
        assert parts == {
            "contract": 1,
            "kind": "evaluate",
            **identities.intervention(finished.length, "evaluate"),
            "kwargs": {"k": 1},
            "model": model,
            "distribution": identities.distribution(folder),
        }
    stored = json.loads(finished.evaluation("length", "base-long", "mixed").read_text())["provenance"]["parts"]
    assert stored.keys() == parts.keys()


def test_file_hashes_notice_a_change_that_keeps_size_and_modification_time(finished: Project) -> None:
    import os
    import time

    from genies.file_hashes import FileHashes

    path = finished.folder / "weights"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    time.sleep(2.1)  # a younger file is never remembered
    memory = finished.folder / "hashes.json"
    hashes = FileHashes(memory)
    first = hashes.of(path)
    hashes.save()
    assert FileHashes(memory).of(path) == first
    path.write_bytes(b"two")
    os.utime(path, (1, 1))
    assert FileHashes(memory).of(path) != first
    memory.write_text("{half")
    assert FileHashes(memory).of(path) != first


FINISHED_STUDY = Path(__file__).with_name("finished_study.json")
"""Every file, by its path, of a study made before records held an identity, a number format and a hash of the code."""


def made_before(project: Project) -> dict[str, object]:
    """Put the finished study in the place of a project; the arguments that it was made with."""
    for name in ("models", "distributions", "interventions"):
        shutil.rmtree(project.folder / name)
    for name, text in json.loads(FINISHED_STUDY.read_text(encoding="utf-8")).items():
        path = project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {"train_kwargs": {"sign": 1}, "eval_kwargs": {"confidence": 0.8}}


def test_a_study_made_by_an_earlier_version_shows_nothing_to_run(project: Project) -> None:
    arguments = made_before(project)
    before = project.table()
    assert "5 jobs in the plan, 0 to run" in project.metrics(**arguments, dry_run=True).stdout
    done = project.metrics(**arguments)
    assert "6 evaluations, 0 jobs run, 0 unverified" in done.stdout
    same = [name for name in before[0] if not name.startswith("RMS_")]  # computed anew, by today's formula
    assert [[row[name] for name in same] for row in project.table()] == [[row[name] for name in same] for row in before]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("interventions/length/train.py", "model.intervention_files"),
        ("interventions/length/README.md", "intervention_files"),  # it counted then, so that nobody can tell now
        ("models/base/config.json", "base_model"),
    ],
)
def test_a_change_is_still_found_in_records_of_an_earlier_version(project: Project, file: str, why: str) -> None:
    arguments = made_before(project)
    with open(project.folder / file, "a") as changed:
        changed.write("\n")
    said = project.metrics(**arguments, dry_run=True).stdout
    assert why in said
    assert " 0 to run" not in said
