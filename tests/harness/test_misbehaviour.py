"""Interventions that do what no intervention should: each harms nothing but itself."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from genies.processes.supervise import KEPT_BYTES
from tests.harness.test_failures import running
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project

# Runs a command and says on its last line how many KiB of memory the largest of its processes had.
MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def test_a_gigabyte_of_output_and_an_evaluation_of_200_megabytes_fill_neither_memory_nor_disk(project: Project) -> None:
    train = """
import os
print("the first line", flush=True)
block = b"x" * 1023 + b"\\n"
for _ in range(1024):
    os.write(1, 1024 * block)
print("the last line", flush=True)
"""
    huge = "    if folder.endswith('mixed'): open(output, 'w').writelines(' ' * 1_000_000 for _ in range(200))\n"
    theirs = project.intervention("glutton", ARGPARSE_TRAIN + train, ARGPARSE_EVAL + huge)
    project.shifts([("long", "mixed")])
    command = [sys.executable, "-c", MEASURE, sys.executable, str(ROOT / "api/compute_generalization_metrics.py")]
    done = subprocess.run(
        [
            *command,
            *project.arguments(
                intervention_dir=theirs,
            ),
        ],
        cwd=ROOT,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "has 190 MiB; expected at most 64" in done.stderr
    (row,) = project.table()
    assert (row["generalization_accuracy"], row["source_ID_accuracy"], row["baseline_accuracy"]) == ("", "1.0", "0.75")
    assert int(done.stdout.splitlines()[-1]) < 150 * 1024
    (log,) = (path for path in project.logs() if path.match("glutton/*/train-1.log"))
    assert 2 * KEPT_BYTES <= log.stat().st_size <= 3 * KEPT_BYTES + 100
    lines = log.read_text().splitlines()
    assert lines[1] == "the first line"  # after what ARGPARSE_TRAIN says
    assert lines[-1] == "the last line"
    (note,) = (line for line in lines if "left out" in line)
    left_out = int(note.split()[1])
    said = len("trained {'sign': 1}\nthe first line\nthe last line\n") + (1 << 30)
    assert log.stat().st_size - len(note) - 2 + left_out == said
    assert max(len(line) for line in lines) <= 1023


def finished(project: Project) -> tuple[bytes, list[Path]]:
    """The table of a run in which nothing went wrong, and the results another's step might meddle with."""
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    model = project.folder / "models" / "length" / "base-long" / "model.json"
    return project.output.read_bytes(), [project.evaluation("length", "base-long", "mixed"), model]


def test_results_that_another_step_wrote_over_are_made_again(project: Project) -> None:
    table, (evaluation, model) = finished(project)
    before = [evaluation.read_bytes(), model.read_bytes()]
    meddle = f"""
for path, content in (({str(evaluation)!r}, {{"eval_accuracy": 0.125}}), ({str(model)!r}, {{"sign": -1}})):
    value = json.loads(pathlib.Path(path).read_text())
    pathlib.Path(path).write_text(json.dumps({{**value, **content}}))
"""
    theirs = project.intervention("meddling", ARGPARSE_TRAIN + meddle, ARGPARSE_EVAL)
    changes = {"intervention_dir": theirs, "target_tuned_capability_intervention": theirs}
    done = project.metrics(**changes, protect=False)
    assert done.returncode == 0, done.stderr
    assert model.read_bytes() != before[1]
    assert project.metrics().returncode == 0
    assert project.output.read_bytes() == table
    after = json.loads(evaluation.read_text())
    assert after["eval_accuracy"] == json.loads(before[0])["eval_accuracy"]


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
@pytest.mark.parametrize("victim", ["distribution", "base model"])
def test_a_step_that_deletes_what_it_was_given_fails_and_says_so(project: Project, script: str, victim: str) -> None:
    table, _ = finished(project)
    of = {"train.py": "args.train_distribution", "eval.py": "args.distribution_dirs[0]"}
    what = "args.model_dir" if victim == "base model" else of[script]
    delete = f"\nimport shutil\nshutil.rmtree({what}, ignore_errors=True)\n"
    sources = {"train.py": ARGPARSE_TRAIN, "eval.py": ARGPARSE_EVAL}
    sources[script] += delete
    theirs = project.intervention("deleting", sources["train.py"], sources["eval.py"])
    done = project.metrics(intervention_dir=theirs, protect=False)
    said = done.stderr
    part = "distribution" if victim == "distribution" else "base_model" if script == "train.py" else "model"
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert f"{script} ran" in said
    assert f"no longer exist: {part}" in said
    if script == "train.py":
        assert not (project.folder / "models" / "deleting" / "base-long").exists()
    assert not project.evaluation("deleting", "base-long", "long").exists()
    assert project.metrics().returncode == 0  # what was measured before stands
    assert project.output.read_bytes() == table


def test_what_a_step_is_given_and_what_others_made_is_closed_to_it(project: Project) -> None:
    table, _ = finished(project)
    asked = "import sys; from genies.processes.supervise import can_close; sys.exit(not can_close(sys.argv[1:]))"
    if subprocess.run([sys.executable, "-c", asked, str(project.folder)], check=False).returncode:
        pytest.skip("this system does not let a process close folders to itself")
    folder = project.folder
    kept = [
        each for name in ("distributions", "models", "results/evaluations") for each in (folder / name).rglob("*.json")
    ]
    before = [path.read_bytes() for path in kept]
    destroy = f"""
import shutil
for name in ("distributions", "models/base", "models/length", "models/destroying/base-long", "results/evaluations"):
    shutil.rmtree(pathlib.Path({str(folder)!r}) / name, ignore_errors=True)
pathlib.Path({str(folder / "elsewhere")!r}).write_text("not closed")
"""
    theirs = project.intervention("destroying", ARGPARSE_TRAIN + destroy, ARGPARSE_EVAL + destroy)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in kept] == before
    assert (folder / "elsewhere").exists()
    assert project.metrics().returncode == 0
    assert project.output.read_bytes() == table


def test_a_daemon_that_goes_on_writing_ends_with_its_step(project: Project) -> None:
    mark = f"{random.randrange(10**9)}"
    # It keeps the file open, which would follow the folder to where it is moved.
    writing = f"import sys, time\nfile = open(sys.argv[1], 'w')\nwhile 1: print({mark}, file=file, flush=True)"
    daemon = f"""
import os, subprocess, sys, time
ticks = os.path.join(args.output_dir, "ticks")
if os.fork() == 0:
    os.setsid()
    subprocess.Popen([sys.executable, "-c", {writing!r}, ticks], start_new_session=True)
    os._exit(0)
while not os.path.exists(ticks) or not os.path.getsize(ticks):
    time.sleep(0.01)
"""
    theirs = project.intervention("forking", ARGPARSE_TRAIN + daemon, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=theirs, timeout=60).returncode == 0
    assert running(mark) == []
    assert (project.folder / "models" / "forking" / "base-long" / "ticks").stat().st_size
    logs = project.logs()
    assert project.metrics(intervention_dir=theirs, use_cached_evaluations=False).returncode == 0  # it is as it was
    assert not [path for path in set(project.logs()) - set(logs) if path.name.startswith("train")]
