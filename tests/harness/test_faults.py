"""What may befall a run from outside: kills at any moment, disks that are full or read-only, damaged files, clocks."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.harness.test_failures import one_message, wait_for_no
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project

# Runs the main job in a process of its own for each line, [seconds until SIGKILL or null, command-line items], and
# answers with its wait status and its seconds: without the start of an interpreter, so that a kill hits the run itself.
RUNNER = """
import json, os, signal, sys, time
from pathlib import Path
from genies.command_line import run
from genies.main_job.main import compute_generalization_metrics
from genies.main_job.request import MetricsRequest
def main(request: MetricsRequest) -> int:
    return compute_generalization_metrics(request, Path.cwd())
for line in sys.stdin:
    delay, sys.argv[1:] = json.loads(line)
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        run(main)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    print(json.dumps([status, time.monotonic() - started]), flush=True)
"""


class Runner:
    """The main job of a project, run to its end or killed, and a ledger of what its steps were started for."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ledger = project.folder / "ledger"
        note = f"\nwith open({str(self.ledger)!r}, 'a') as ledger: ledger.write(''.join(WHAT))\n"
        train = note.replace("WHAT", "'train ' + pathlib.Path(args.output_dir).name + '\\n'")
        evaluate = note.replace("WHAT", "'/'.join(pathlib.Path(path).parts[-2:]) + '\\n' for path in args.output_paths")
        theirs = project.intervention("noted", ARGPARSE_TRAIN + train, ARGPARSE_EVAL + evaluate)
        self.items = project.arguments(
            intervention_dir=theirs,
            baseline_intervention=theirs,
            target_tuned_capability_intervention=theirs,
            slots=2,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            cwd=ROOT,
            env=project.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, killed_after: float | None = None) -> tuple[int, float]:
        """Wait status and seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([killed_after, self.items]) + "\n")
        self._process.stdin.flush()
        status, seconds = json.loads(self._process.stdout.readline())
        return status, seconds

    def in_place(self) -> set[str]:
        """The results that are there, by the names the ledger gives them."""
        models = list((self.project.folder / "models" / "noted").glob("*/training_step.json"))
        evaluations = list((self.project.folder / "results" / "evaluations").rglob("*.json"))
        for path in [*models, *evaluations]:
            json.loads(path.read_text())  # whole, or not there
        return {f"train {path.parent.name}" for path in models} | {"/".join(path.parts[-2:]) for path in evaluations}

    def staged(self) -> set[str]:
        """The finished models and valid evaluations that a killed step left, which need not be made again."""
        models = (self.project.folder / "models" / "noted" / ".staging").rglob("training_step.json")
        found = {f"train {path.parent.name}" for path in models}
        for path in (self.project.folder / "results" / ".staging").rglob("[!.]*.json"):
            try:
                json.loads(path.read_text())
            except ValueError:
                continue
            found.add("/".join(path.parts[-2:]))
        return found

    def noted(self) -> list[str]:
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def forget(self) -> None:
        for name in ("models/noted", "models/.locks", "results", "out", "cache"):
            shutil.rmtree(self.project.folder / name, ignore_errors=True)
        self.ledger.unlink(missing_ok=True)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


@pytest.fixture
def runner(project: Project) -> Iterator[Runner]:
    project.shifts([("long", "mixed")])
    runner = Runner(project)
    yield runner
    runner.close()


def test_killed_at_twenty_moments_a_run_ends_as_if_nothing_had_happened(runner: Runner) -> None:
    folder = runner.project.folder
    assert runner.run()[0] == 0
    table, everything = runner.project.output.read_bytes(), sorted(runner.noted())
    assert len(everything) == len(set(everything)) == 7  # 2 trainings, 5 evaluations
    runner.forget()
    status, usual = runner.run()
    assert status == 0
    draw = random.Random(11)
    killed_with = set()
    for _ in range(20):
        runner.forget()
        status, _ = runner.run(killed_after=draw.random() * usual)
        assert wait_for_no(f"{folder}/") == []
        before, there = runner.noted(), runner.in_place() | runner.staged()
        if status:
            killed_with.add(len(there))
        assert runner.run()[0] == 0
        assert runner.project.output.read_bytes() == table
        again = runner.noted()[len(before) :]
        assert there.isdisjoint(again)  # what was done once is not done again
        assert there | set(again) == set(everything)
        assert len(again) == len(set(again))
        assert list((folder / "results").rglob("*.partial")) == []
    assert len(killed_with) > 1  # the moments hit the run at different places


def apart(mounts: str, project: Project, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The main job where `mounts`, lines of a shell, were done before; they end with it. Skips where none can be."""
    unshare = shutil.which("unshare")
    may = unshare and subprocess.run([unshare, "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    if not may or may.returncode:
        pytest.skip("file systems can be mounted here only by root, with the command unshare")
    command = [unshare, "-m", "sh", "-e", "-c", f'cd "$1"; {mounts}\ncd "$2"; shift 2; exec "$@"', "sh", project.folder]
    command += [ROOT, sys.executable, str(ROOT / "api" / "compute_generalization_metrics.py"), *arguments]
    return subprocess.run(
        [*map(str, command)], env=project.environment(), capture_output=True, text=True, check=False, timeout=60
    )


def test_a_full_disk_ends_the_run_with_one_message_and_what_is_written_is_whole(project: Project) -> None:
    assert project.metrics().returncode == 0
    accuracies = [row["generalization_accuracy"] for row in project.table()]
    # What was measured so far is copied onto a small file system, which has room for some of the steps only.
    small = "mkdir disk; mount -t tmpfs -o size=512k none disk; cp -r results disk/; "
    small += "head -c 1M /dev/zero >disk/x 2>&- || truncate -s -8k disk/x"
    arguments = project.arguments(results_dir=project.folder / "disk" / "results", use_cached_evaluations=False)
    done = apart(small, project, arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "the disk is full" in done.stderr.splitlines()[-1]
    found = [row["generalization_accuracy"] for row in project.table()]
    assert all(now in (then, "") for now, then in zip(found, accuracies, strict=True))


def test_a_read_only_results_folder_is_one_message_unless_all_is_there(project: Project) -> None:
    read_only = "mount --bind results results; mount -o remount,ro,bind results"
    (project.folder / "results").mkdir()
    done = apart(read_only, project, project.arguments())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "a folder that can be written to" in done.stderr
    assert project.logs() == []
    assert project.metrics().returncode == 0
    table = project.output.read_bytes()
    project.output.unlink()
    assert apart(read_only, project, project.arguments()).returncode == 0
    assert project.output.read_bytes() == table


def test_a_read_only_place_of_the_report_is_told_before_anything_runs(project: Project) -> None:
    read_only = "mkdir closed; mount --bind closed closed; mount -o remount,ro,bind closed"
    done = apart(read_only, project, project.arguments(report_dir=project.folder / "closed" / "new" / "report"))
    assert f"closed/new/report: nothing can be written in {project.folder / 'closed'}" in one_message(done)
    assert project.logs() == []
    assert not project.output.exists()


DAMAGE = {
    "empty": b"",
    "half": b'{"state": "fai',
    "other JSON": b'["running"]',
    "no text": b"\xff\xfe\0",
    "too deep": b"[" * 100_000,
    "of another life": b'{"state": "running", "pid": 1, "mark": "x", "failure": 3}',
}


def test_damaged_files_of_the_harness_cost_nothing(project: Project) -> None:
    assert project.metrics().returncode == 0
    table = project.output.read_bytes()
    kept = [path for name in (".state", ".locks") for path in project.folder.glob(f"*/{name}/**/*") if path.is_file()]
    assert {path.suffix for path in kept} == {".json", ".lock"}
    (project.folder / "cache").mkdir(exist_ok=True)
    kept.append(project.folder / "cache" / "file_hashes.json")
    for damage in DAMAGE.values():
        for path in kept:
            path.write_bytes(damage)
        logs = project.logs()
        project.evaluation("length", "base-long", "mixed").unlink()
        done = project.metrics()
        assert done.returncode == 0, done.stderr
        assert len(project.logs()) == len(logs) + 1
        assert project.output.read_bytes() == table


def test_a_damaged_record_of_a_training_is_not_taken_for_one(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    table = project.output.read_bytes()
    model = project.folder / "models" / "length" / "base-long"
    (model / "training_step.json").write_text('{"parts": ')
    project.evaluation("length", "base-long", "mixed").unlink()
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    assert "1 unverified" not in done.stdout
    assert project.output.read_bytes() == table


def test_figures_changed_by_another_hand_are_measured_again(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    table, logs = project.output.read_bytes(), project.logs()
    path = project.evaluation("length", "base-long", "mixed")
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value, indent=1))  # only written in another way
    assert project.metrics().returncode == 0
    assert project.logs() == logs
    path.write_text(json.dumps({**value, "eval_accuracy": 1.0}))
    assert "its values changed" in project.metrics(dry_run=True).stdout
    assert project.metrics().returncode == 0
    assert len(project.logs()) == len(logs) + 1
    assert project.output.read_bytes() == table


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_jumped_changes_nothing(project: Project, years: int) -> None:
    broken = "import os, sys\nif not os.path.exists(MARK): sys.exit('not mended')\n"
    mark = project.folder / "mended"
    theirs = project.intervention("broken", broken.replace("MARK", repr(str(mark))) + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=theirs).returncode == 1
    table, logs = project.output.read_bytes(), project.logs()
    then = time.time() + years * 365 * 86400
    for path in project.folder.rglob("*"):
        os.utime(path, (then, then))
    done = project.metrics(intervention_dir=theirs)  # what is done stands, and what failed is remembered
    assert done.returncode == 1
    assert "--retry_failed" in done.stderr
    assert project.logs() == logs
    assert project.output.read_bytes() == table
    mark.touch()
    os.utime(mark, (then, then))
    assert project.metrics(intervention_dir=theirs, retry_failed=True).returncode == 0
    (project.folder / "distributions" / "mixed" / "test.json").write_text("[]")  # a change is a change at any time
    os.utime(project.folder / "distributions" / "mixed" / "test.json", (then, then))
    assert "no examples" in one_message(project.metrics(intervention_dir=theirs))
