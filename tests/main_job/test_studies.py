"""Several models, interventions, seeds, slots: one request, shared steps, and batch systems."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genies.file_hashes import FileHashes
from genies.harness.launchers import local
from genies.harness.launchers.local import LocalLauncher
from genies.processes.hardware import gpu_is_there
from tests.harness.test_failures import one_message
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project

SEEDED_TRAIN = ARGPARSE_TRAIN.replace('"--sign"', '"--seed", type=int)\nparser.add_argument("--sign"').replace(
    '"sign": args.sign', '"seed": args.seed, "sign": args.sign'
)
SEEDED_EVAL = ARGPARSE_EVAL.replace('"--confidence"', '"--seed", type=int)\nparser.add_argument("--confidence"')


def read(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_several_models_and_interventions_share_the_baseline_and_the_reference(project: Project) -> None:
    other = project.folder / "models" / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    opposite = project.intervention("opposite", ARGPARSE_TRAIN.replace("default=1", "default=-1"), ARGPARSE_EVAL)
    done = project.metrics(
        base_model_dir=[str(project.base_model), str(other)],
        intervention_dir=[str(project.length), str(opposite)],
        output_path=project.folder / "tables" / "{model}" / "{intervention}" / "T.csv",
    )
    assert done.returncode == 0, done.stderr
    tables = project.folder / "tables"
    assert float(read(tables / "base" / "length" / "T.csv")[1]["generalization_accuracy"]) == 0.75
    assert float(read(tables / "other" / "opposite" / "T.csv")[1]["generalization_accuracy"]) == 0.25
    combined = read(tables / "combined-T.csv")
    assert [(row["base_model"], row["intervention"]) for row in combined[::3]] == [
        ("base", "length"),
        ("base", "opposite"),
        ("other", "length"),
        ("other", "opposite"),
    ]
    # A model: the reference on short and mixed, length on long as well, opposite on long and short.
    assert len(project.trained()) == 2 * 5
    baselines = [log for log in project.logs() if log.parent.name in ("base", "other")]
    assert len(baselines) == 2


def test_one_file_for_several_tables_is_refused(project: Project) -> None:
    opposite = project.intervention("opposite", ARGPARSE_TRAIN, ARGPARSE_EVAL)
    message = one_message(project.metrics(intervention_dir=[str(project.length), str(opposite)]))
    assert "{intervention}" in message
    assert "no_such" in one_message(project.metrics(output_path=project.folder / "{no_such}.csv"))


def test_each_seed_has_models_and_rows_of_its_own(project: Project) -> None:
    theirs = project.intervention("seeded", SEEDED_TRAIN, SEEDED_EVAL)
    project.shifts([("long", "mixed")])
    changes = {"intervention_dir": theirs, "target_tuned_capability_intervention": theirs}
    done = project.metrics(**changes, seeds=[0, 7], seed_target_tuned=True)
    assert done.returncode == 0, done.stderr
    assert [row["seed"] for row in project.table()] == ["0", "7"]
    model = json.loads((project.folder / "models/seeded/base-long-seed7/model.json").read_text())
    assert model["seed"] == 7
    assert project.trained() == ["base-long-seed0", "base-long-seed7", "base-mixed-seed0", "base-mixed-seed7"]
    assert "seed" in one_message(project.metrics(**changes, seeds=[0], train_kwargs={"seed": 1}))
    assert "--seeds" in one_message(project.metrics(**changes, seeds=[]))


def test_the_reference_is_tuned_once_for_all_seeds(project: Project) -> None:
    theirs = project.intervention("seeded", SEEDED_TRAIN, SEEDED_EVAL)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs, target_tuned_capability_intervention=theirs, seeds=[0, 7])
    assert done.returncode == 0, done.stderr
    assert project.trained() == ["base-long-seed0", "base-long-seed7", "base-mixed"]
    assert len({row["target_tuned_capability"] for row in project.table()}) == 1


def test_several_slots_give_the_same_table_as_one_and_divide_the_cores(project: Project, tmp_path: Path) -> None:
    show = "import os; print(os.environ['OMP_NUM_THREADS'])\n"
    theirs = project.intervention("shown", show + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    one = Project(tmp_path / "one")
    assert one.metrics(intervention_dir=theirs).returncode == 0
    done = project.metrics(intervention_dir=theirs, slots=3)
    assert done.returncode == 0, done.stderr
    assert project.output.read_bytes() == one.output.read_bytes()
    if "OMP_NUM_THREADS" not in os.environ:  # the user's own setting stands
        threads = {log.read_text().splitlines()[0] for log in project.logs() if log.match("shown/*/train-1.log")}
        assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 3))}


def test_each_gpu_listed_runs_one_step_at_a_time(project: Project) -> None:
    # Two trainings wait for one another: they end only if both run, each on a GPU of its own.
    meet = f"""import os, pathlib, time
gpu = os.environ["CUDA_VISIBLE_DEVICES"]
folder = pathlib.Path({str(project.folder)!r})
(folder / f"gpu{{gpu}}").touch()
while not ((folder / "gpu0").exists() and (folder / "gpu1").exists()):
    time.sleep(0.02)
"""
    theirs = project.intervention("meeting", meet + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    project.shifts([("long", "long"), ("short", "short")])
    done = project.metrics(intervention_dir=theirs, target_tuned_capability_intervention=theirs, gpus="0,1", timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("sign", "there"), [("dev/nvidia0", True), ("proc/driver/nvidia", True), ("dev/null", False), ("dev/dxg", True)]
)
def test_a_gpu_is_told_by_the_files_of_its_driver(tmp_path: Path, sign: str, there: bool) -> None:
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()
    assert gpu_is_there(tmp_path) is there


def test_a_gpu_asked_for_where_there_is_none_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(gpus: list[str]) -> str:
        LocalLauncher(1, gpus, FileHashes(tmp_path / "hashes.json")).close(cancel=False)
        return capsys.readouterr().err

    monkeypatch.setattr(local, "gpu_is_there", lambda: False)
    said = started(["0", "1"])
    assert said.startswith("--gpus 0,1: no NVIDIA device or driver ")
    assert said.count("\n") == 1
    assert started([]) == ""
    monkeypatch.setattr(local, "gpu_is_there", lambda: True)
    assert started(["0"]) == ""


def test_distributions_of_equal_content_do_not_disturb_one_another_in_parallel(project: Project) -> None:
    names = [f"twin{number}" for number in range(6)]
    for name in names:
        project.distribution(name, [True] * 4, [True] * 4)
    project.shifts([(name, name) for name in names])
    done = project.metrics(slots=3)
    assert done.returncode == 0, done.stderr
    assert [row["source_ID_accuracy"] for row in project.table()] == ["1.0"] * 6


def test_a_failed_step_is_not_tried_again_until_something_changes_or_it_is_asked_for(project: Project) -> None:
    mark = project.folder / "mended"
    train = f"import os, sys\nif not os.path.exists({str(mark)!r}): sys.exit('not mended')\n" + ARGPARSE_TRAIN
    theirs = project.intervention("broken", train, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=theirs).returncode == 1
    mark.touch()
    logs = project.logs()
    again = project.metrics(intervention_dir=theirs)
    assert again.returncode == 1
    assert project.logs() == logs
    assert "not mended" in again.stderr
    assert "--retry_failed" in again.stderr
    assert project.metrics(intervention_dir=theirs, retry_failed=True).returncode == 0


@pytest.mark.parametrize("number", [9, 11])
def test_a_step_killed_by_a_signal_is_tried_again(project: Project, number: int) -> None:
    mark = project.folder / "killed_once"
    train = f"""import os, pathlib
mark = pathlib.Path({str(mark)!r})
if not mark.exists():
    mark.touch()
    os.kill(os.getpid(), {number})
"""
    theirs = project.intervention("killed", train + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 0, done.stderr
    assert "trying again" in done.stderr
    assert len([log for log in project.logs() if "killed" in log.parts and log.name.startswith("train-")]) == 2


def test_lines_for_a_batch_system_run_by_themselves_and_the_main_job_finds_all_done(project: Project) -> None:
    lines = project.folder / "steps.jsonl"
    done = project.metrics(emit_commands=lines)
    assert done.returncode == 0, done.stderr
    assert project.logs() == []
    steps = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert len(steps) == 7
    ended: set[int] = set()
    while steps:  # last line first, as far as what it needs has ended: the order is free
        step = next(each for each in reversed(steps) if ended.issuperset(each["needs"]))
        ran = subprocess.run(
            step["argv"], cwd=ROOT, env=project.environment(), capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        ended.add(step["id"])
        steps.remove(step)
    logs = project.logs()
    done = project.metrics()
    assert done.returncode == 0
    assert project.logs() == logs
    assert float(project.table()[1]["generalization_accuracy"]) == 0.75
    broken = subprocess.run(
        [sys.executable, "api/run_step.py", "--order_file", str(project.folder / "shifts.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--emit_commands" in one_message(broken)


def test_out_of_memory_is_tried_again_with_smaller_batches_where_the_step_takes_them(project: Project) -> None:
    train = ARGPARSE_TRAIN.replace('"--sign"', '"--batch_tokens", type=int, default=512)\nparser.add_argument("--sign"')
    train += "print('budget', args.batch_tokens)\n# as genies does\n"
    train += "if args.batch_tokens > 128: raise MemoryError\n"
    theirs = project.intervention("hungry", train, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 0, done.stderr
    said = [log.read_text() for log in project.logs() if log.match("hungry/*/train-*.log")]
    assert ["budget 512" in said[0], "budget 256" in said[1], "budget 128" in said[2]] == [True] * 3


def test_names_that_would_share_a_folder_are_refused(project: Project) -> None:
    other = project.folder / "models" / "base-long"
    other.mkdir()
    message = one_message(
        project.metrics(
            base_model_dir=[str(project.base_model), str(other)],
            baseline_intervention=project.length,
            output_path=project.folder / "{model}.csv",
        )
    )
    assert "two different results" in message


def test_several_processes_train_one_model_together(project: Project) -> None:
    train = ARGPARSE_TRAIN.replace("print(", "import os\nprint(os.environ.get('RANK'), os.environ.get('WORLD_SIZE'), ")
    theirs = project.intervention("together", train, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs, processes_per_step=2)
    assert done.returncode == 0, done.stderr
    (log,) = (log for log in project.logs() if log.match("together/*/train-1.log"))
    assert log.read_text().startswith("0 2 trained")  # the first process alone is heard
    assert float(project.table()[0]["generalization_accuracy"]) == 0.75
