"""One step's process: its log, its time-out, and that nothing of it lives on."""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from genies.processes.process import Outcome, last_lines, run_process
from tests.harness.test_failures import running


def run_code(code: str, log: Path, timeout: float | None = None, verbose: bool = False) -> Outcome:
    return run_process(
        [sys.executable, "-c", code],
        working_dir=log.parent,
        environment=os.environ,
        log_file=log,
        timeout=timeout,
        verbose=verbose,
    )


def test_output_and_errors_go_to_the_log_in_order(tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    code = "import os; os.write(1, b'one\\n'); os.write(2, b'two\\n'); os.write(1, b'three\\n')"
    assert run_code(code, log).succeeded
    assert log.read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(7)", "status 7"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_an_outcome_says_how_the_process_ended(tmp_path: Path, code: str, words: str) -> None:
    outcome = run_code(code, tmp_path / "log")
    assert not outcome.succeeded
    assert words in outcome.describe()


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    outcome = run_process(
        [str(tmp_path / "none")],
        working_dir=tmp_path,
        environment=os.environ,
        log_file=tmp_path / "log",
        timeout=None,
        verbose=False,
    )
    assert "could not be started" in outcome.describe()


def test_a_daemon_that_left_the_process_group_is_ended_with_its_step(tmp_path: Path) -> None:
    mark = f"{random.randrange(10**9)}"
    code = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # {mark}"], start_new_session=True)
"""
    started = time.monotonic()
    assert run_code(code, tmp_path / "log").succeeded
    assert running(mark) == []
    assert time.monotonic() - started < 60


def test_a_step_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genies.processes.process.GRACE_SECONDS", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    outcome = run_code(code, tmp_path / "log", timeout=1)
    assert outcome.timed_out
    assert outcome.returncode == -9


def test_a_step_has_no_standard_input(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_code("import sys; print(repr(sys.stdin.read()))", log).succeeded
    assert log.read_text() == "''\n"


def test_the_last_lines_show_the_last_state_of_progress_bars(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 200_000 + b"\nfirst\n 10%\r 50%\r100%\n\nlast \xff\n")
    assert last_lines(log, 3) == ["first", "100%", "last \ufffd"]
    assert last_lines(tmp_path / "none") == []


def test_verbose_shows_everything_however_late(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_code("import time; print('early', flush=True); time.sleep(0.3); print('late')", tmp_path / "log", verbose=True)
    assert capfd.readouterr().err == "early\nlate\n"


def test_verbose_goes_on_when_the_middle_of_a_long_log_is_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = """
import time
print("early", flush=True)
time.sleep(0.3)
for _ in range(40_000):
    print("x" * 1000)
print("late")
"""
    assert run_code(code, tmp_path / "log", verbose=True).succeeded
    shown = capfd.readouterr().err
    assert shown.startswith("early\n")
    assert shown.endswith("late\n")
    assert "left out" in (tmp_path / "log").read_text()
