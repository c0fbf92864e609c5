"""Surroundings that are hostile or unlucky: files that are no files, locks that are refused, permissions that lack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genies import folder_hashes
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.harness.job import Identity, Job
from genies.harness.store import Store
from genies.intervention_code import intervention_identity
from genies.locks import check_lock_folder
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project


def replaced_by_a_pipe(path: Path) -> None:
    assert path.is_file(), path
    path.unlink()
    os.mkfifo(path)


# What is no file


GIVEN: dict[str, Callable[[Project], Path]] = {
    "distribution file": lambda project: project.folder / "distributions" / "long" / "train.json",
    "shift file": lambda project: project.folder / "shifts.json",
}


@pytest.mark.parametrize("what", GIVEN)
def test_a_pipe_in_place_of_what_a_run_is_given_is_refused_before_anything_runs(project, what) -> None:
    path = GIVEN[what](project)
    replaced_by_a_pipe(path)
    ended = project.metrics()
    said = ended.stderr.splitlines()
    assert (ended.returncode, said) == (2, [f"error: {what} {path} is a named pipe; expected a regular file"])
    assert project.logs() == []


def test_a_pipe_in_place_of_what_a_run_has_made_is_noticed_and_never_waited_for(project) -> None:
    assert project.metrics().returncode == 0
    model = project.folder / "models" / "length" / "base-long"
    evaluation = project.evaluation("length", "base-long", "mixed")
    state = project.folder / "results" / ".state" / "length" / "base-long" / "evaluate.json"
    memory = project.folder / "cache" / "file_hashes.json"  # not written while all files are new
    memory.parent.mkdir(exist_ok=True)
    memory.touch()
    for path in (model / "training_step.json", evaluation, state, memory):
        replaced_by_a_pipe(path)
    ended = project.metrics(timeout=60)
    assert ended.returncode == 1  # neither is replaced: a pipe is somebody's
    assert f"cannot write {state}: it is a device, a pipe or a socket" in ended.stderr
    state.unlink()
    evaluation.unlink()
    assert project.metrics(timeout=60).returncode == 0
    report = project.command("report.py", ["--results", str(project.folder / "results"), "--output", "never_made"])
    assert "Traceback" not in report.stderr


def test_a_pipe_as_the_order_of_a_step_is_refused(project) -> None:
    os.mkfifo(project.folder / "order.json")
    ended = project.command("run_step.py", ["--order_file", str(project.folder / "order.json")])
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "is a named pipe" in ended.stderr


def test_a_device_as_the_place_of_a_table_is_refused_and_left_alone(project) -> None:
    before = Path(os.devnull).stat()
    ended = project.metrics(output_path="/dev/null")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--output_path /dev/null is a device" in ended.stderr
    assert Path(os.devnull).stat() == before
    assert project.logs() == []


@pytest.mark.parametrize("target", ["/", ".."])
def test_a_link_to_a_folder_above_is_refused_and_not_read_to_its_end(project, target) -> None:
    (project.length / "all").symlink_to(target)
    ended = project.metrics()
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert f"{project.length / 'all'} is a link to" in ended.stderr


def test_a_folder_of_too_many_files_is_refused_and_a_link_to_shared_code_is_followed(
    tmp_path, project, monkeypatch
) -> None:
    shared = tmp_path / "shared code"
    shared.mkdir()
    (shared / "common.py").write_text("1")
    (project.length / "common").symlink_to(shared)
    (project.length / "itself").symlink_to(project.length)
    before = intervention_identity(FileHashes(None), project.length, "train")
    (shared / "common.py").write_text("2")
    assert intervention_identity(FileHashes(None), project.length, "train") != before
    monkeypatch.setattr(folder_hashes, "MOST_FILES", 2)
    with pytest.raises(InputError, match="more than 2 files"):
        intervention_identity(FileHashes(None), project.length, "train")


# Locks


def test_a_run_on_a_file_system_without_locks_gives_the_same_table(project) -> None:
    assert project.metrics().returncode == 0
    table = project.output.read_bytes()
    (project.folder / "again").mkdir()
    command = f"""
import errno, fcntl, os, runpy, sys
def refuse(descriptor, kind): raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = refuse
sys.path.insert(0, {str(ROOT / "api")!r})
runpy.run_path({str(ROOT / "api" / "compute_generalization_metrics.py")!r}, run_name="__main__")
"""
    arguments = project.arguments(
        models_dir=project.folder / "again" / "models",
        results_dir=project.folder / "again" / "results",
        output_path=project.folder / "again" / "table.csv",
        slots=2,
    )
    ended = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=ROOT,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("refuses locks") == 2  # for each folder of locks
    assert (project.folder / "again" / "table.csv").read_bytes() == table
    assert list((project.folder / "again").rglob("*.held*")) == []


WAIT = """
import pathlib, time
pathlib.Path({started!r}).touch()
while not pathlib.Path({go!r}).exists(): time.sleep(0.02)
"""


def evaluation_items(project: Project, intervention: Path, model: Path) -> list[str]:
    values = {
        "model_dir": model,
        "intervention_dir": intervention,
        "distributions": '["long"]',
        **project.places(),
    }
    return [item for name, value in values.items() for item in (f"--{name}", str(value))]


def test_two_runs_evaluate_an_untuned_model_at_once(project) -> None:
    started, go = project.folder / "started", project.folder / "go"
    slow = project.intervention("slow", ARGPARSE_TRAIN, WAIT.format(started=str(started), go=str(go)) + ARGPARSE_EVAL)
    first = subprocess.Popen(
        [sys.executable, str(ROOT / "api" / "evaluate.py"), *evaluation_items(project, slow, project.base_model)],
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not started.exists():
            assert first.poll() is None
            time.sleep(0.02)
        items = evaluation_items(project, project.length, project.base_model)
        ended = project.command("evaluate.py", items)  # would wait for ever
        assert ended.returncode == 0, ended.stderr
        assert "waiting" not in ended.stderr
    finally:
        go.touch()
        assert first.wait(60) == 0
    assert project.evaluation("slow", "base", "long").is_file()


def test_a_tuned_model_is_locked_while_it_is_evaluated(project) -> None:
    assert project.metrics().returncode == 0
    tuned = project.folder / "models" / "length" / "base-long"
    store = Store(ROOT, project.folder / "models", project.folder / "results")
    for model, locked in ((tuned, True), (project.base_model, False), (project.folder / "models" / "absent", False)):
        identity = Identity("evaluate", "length", model.name, None, None)
        output = project.evaluation("length", model.name, "long")
        job = Job(identity, project.length, model, model, {"long": model}, {"long": output}, {})
        names = [each.name.rsplit("-", 1)[0] for each in store.lock_files(job)]
        assert names == [model.name] * (2 if locked else 1)


def test_a_lock_folder_that_is_none_is_told_at_the_start_with_the_argument_that_mends_it(project) -> None:
    (project.folder / "models" / ".locks").write_text("")
    ended = project.metrics()
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--models_dir" in ended.stderr
    assert project.logs() == []
    assert project.metrics(models_dir=project.folder / "own").returncode == 0


def test_a_lock_folder_that_may_not_be_written_to_is_told_with_the_argument_that_mends_it(tmp_path) -> None:
    (tmp_path / ".locks").mkdir(mode=0o555)
    tmp_path.chmod(0o555)
    for parent in tmp_path.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)  # so that another user comes here at all

    def refused(folder: Path, argument: str) -> bool:
        try:
            check_lock_folder(folder, argument)
        except InputError as error:
            return f"{folder}/.locks is not writable" in str(error) and f"with --{argument}" in str(error)
        return False

    child = os.fork()
    if not child:  # root may write anywhere
        if os.getuid() == 0:
            os.setuid(65534)
        os._exit(0 if refused(tmp_path, "models_dir") and refused(tmp_path / "new", "results_dir") else 1)
    assert os.waitpid(child, 0)[1] == 0


# What a step prints, and what names hold


def test_control_codes_of_a_step_reach_no_terminal(project) -> None:
    script = project.length / "eval.py"
    code = r"print('\x1b]0;pwned\x07 \x1b]52;c;eA==\x07 r\xe4ven'); "
    script.write_text(code + script.read_text(), encoding="utf-8")
    shown = project.metrics(verbose=True)
    assert shown.returncode == 0
    assert r"\x1b]0;pwned\x07 \x1b]52;c;eA==\x07 räven" in shown.stderr
    script.write_text(code + "raise SystemExit(1)")
    failed = project.metrics()
    assert r"| \x1b]0;pwned\x07" in failed.stderr
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", shown.stderr + failed.stderr)


def test_names_and_labels_that_a_spreadsheet_would_run_come_back_from_the_table(project) -> None:
    project.distribution("=1+1", [True] * 4, [True] * 4)
    shift = {"source": "long", "target": "=1+1", "category": '@SUM("a")'}
    (project.folder / "shifts.json").write_text(json.dumps([shift]))
    project.output = project.folder / "results" / "generalization_metrics" / "base" / "length" / "t.csv"
    assert project.metrics().returncode == 0
    (row,) = project.table()
    assert (row["target"], row["target_reference"], row["category"]) == ("'=1+1", "'=1+1", '\'@SUM("a")')
    arguments = ["--results", str(project.folder / "results"), "--distributions_dir", str(project.folder)]
    for form in ("json", "csv"):
        ended = project.command(
            "tables.py", [*arguments, "--format", form, "--table", "shifts"][: 6 if form == "json" else 8]
        )
        assert ended.returncode == 0, ended.stderr
        if form == "json":
            assert [each["target"] for each in json.loads(ended.stdout)["shifts"]] == ["=1+1"]
        else:
            assert ",'=1+1," in ended.stdout


def test_a_run_without_a_standard_error_does_its_work(project) -> None:
    command = [
        "bash",
        "-c",
        '"$@" 2>&-',
        "bash",
        sys.executable,
        str(ROOT / "api" / "compute_generalization_metrics.py"),
    ]
    ended = subprocess.run(
        [*command, *project.arguments()], cwd=ROOT, env=project.environment(), stdout=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == 0
    assert len(project.table()) == 3
