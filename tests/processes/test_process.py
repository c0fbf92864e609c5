"""One step's process: its log, its time-out, and that nothing of it lives on."""

import json
import os
import random
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genies.processes.preload import Preloaded
from genies.processes.process import Outcome, Supervisor, last_lines, run_process, step_environment
from tests.harness.test_failures import running

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")

RunCode = Callable[..., Outcome]


@pytest.fixture(params=["started", pytest.param("forked", marks=FORKS)])
def run_code(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunCode]:
    """Runs code as a script, whose interpreter is started or forked; returns the outcome."""
    preloaded = Preloaded(["json", "no_such_module"], tmp_path, os.environ) if request.param == "forked" else None

    def run(code: str, log: Path, timeout: float | None = None, verbose: bool = False, **more: str) -> Outcome:
        script = log.parent / f"script_{log.name}.py"
        script.write_text(code)
        return run_process(
            [sys.executable, str(script), "an argument"],
            working_dir=log.parent,
            environment={**step_environment(), **more},
            log_file=log,
            timeout=timeout,
            verbose=verbose,
            preloaded=preloaded,
        )

    yield run
    if preloaded is not None:
        preloaded.close()


def test_output_and_errors_go_to_the_log_in_order(run_code: RunCode, tmp_path: Path) -> None:
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
def test_an_outcome_says_how_the_process_ended(run_code: RunCode, tmp_path: Path, code: str, words: str) -> None:
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


def test_a_daemon_that_left_the_process_group_is_ended_with_its_step(run_code: RunCode, tmp_path: Path) -> None:
    mark = f"{random.randrange(10**9)}"
    code = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # {mark}"], start_new_session=True)
"""
    started = time.monotonic()
    assert run_code(code, tmp_path / "log").succeeded
    assert running(mark) == []
    assert time.monotonic() - started < 60


def test_a_step_that_ignores_sigterm_is_killed(
    run_code: RunCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genies.processes.process.GRACE_SECONDS", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    outcome = run_code(code, tmp_path / "log", timeout=1)
    assert outcome.timed_out
    assert outcome.returncode == -9


def test_a_step_has_no_standard_input(run_code: RunCode, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_code("import sys; print(repr(sys.stdin.read()))", log).succeeded
    assert log.read_text() == "''\n"


def test_the_last_lines_show_the_last_state_of_progress_bars(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 200_000 + b"\nfirst\n 10%\r 50%\r100%\n\nlast \xff\n")
    assert last_lines(log, 3) == ["first", "100%", "last \ufffd"]
    assert last_lines(tmp_path / "none") == []


def test_verbose_shows_everything_however_late(
    run_code: RunCode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_code("import time; print('early', flush=True); time.sleep(0.3); print('late')", tmp_path / "log", verbose=True)
    assert capfd.readouterr().err == "early\nlate\n"


def test_verbose_goes_on_when_the_middle_of_a_long_log_is_left_out(
    run_code: RunCode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
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


SCRIPT = """
import sys
forked = "pydantic" in sys.modules
import atexit, json, os, signal, threading, time
from pathlib import Path
from pydantic import BaseModel

class Model(BaseModel):
    argument: "str"

    def describe(self):
        return type(self).__module__

def late():
    time.sleep(0.2)
    print("thread", flush=True)

atexit.register(lambda: print("exit handler"))
threading.Thread(target=late).start()
print(json.dumps({
    "name": __name__,
    "file": __file__,
    "argv": sys.argv,
    "path": sys.path[0],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "model": Model(argument="a").describe(),
    "descriptors": sorted(int(each.name) for each in Path("/proc/self/fd").iterdir() if os.path.exists(each)),
    "forked": forked,
    "group": os.getpgid(0) == os.getpid(),
    "signals": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)][1:],
    "streams": [(each.encoding, each.errors, each.fileno()) for each in (sys.stdin, sys.stdout, sys.stderr)][1:],
}))
print("stderr", file=sys.stderr)
sys.exit("the end")
"""


@FORKS
def test_a_forked_script_sees_what_a_started_one_sees(tmp_path: Path) -> None:
    preloaded = Preloaded(["pydantic"], tmp_path, os.environ)
    told = []
    (tmp_path / "script.py").write_text(SCRIPT)
    for name, source in (("started", None), ("forked", preloaded), ("again", preloaded)):
        outcome = run_process(
            [sys.executable, str(tmp_path / "script.py"), "--an", "argument"],
            working_dir=tmp_path,
            environment={**step_environment(), "OWN": "1"},
            log_file=tmp_path / name,
            timeout=None,
            verbose=False,
            preloaded=source,
        )
        assert outcome.returncode == 1
        first, *others = (tmp_path / name).read_text().splitlines()
        assert sorted(others) == ["exit handler", "stderr", "the end", "thread"]
        told.append(json.loads(first))
    preloaded.close()
    started, *forked = told
    assert not started.pop("forked")
    for each in forked:
        assert each.pop("forked")
        assert set(each.pop("descriptors")) <= {0, 1, 2, *range(3, 8)}
        assert {name: value for name, value in started.items() if name != "descriptors"} == each


@FORKS
def test_without_its_process_a_script_is_started(tmp_path: Path) -> None:
    preloaded = Preloaded([], tmp_path, os.environ)
    preloaded._process.kill()
    preloaded._process.wait()
    (tmp_path / "script.py").write_text("print('here')")
    outcome = run_process(
        [sys.executable, str(tmp_path / "script.py")],
        working_dir=tmp_path,
        environment=os.environ,
        log_file=tmp_path / "log",
        timeout=None,
        verbose=False,
        preloaded=preloaded,
    )
    assert outcome.succeeded
    assert (tmp_path / "log").read_text() == "here\n"
    preloaded.close()


@pytest.mark.parametrize("count", [1, 100, 300])
@FORKS
def test_locks_are_held_until_the_last_process_has_ended_however_many(tmp_path: Path, count: int) -> None:
    preloaded = Preloaded([], tmp_path, os.environ)
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(0.5)")
    ends = [os.pipe() for _ in range(count)]
    supervisor = Supervisor(
        [sys.executable, str(script)],
        working_dir=tmp_path,
        environment=os.environ,
        log_file=tmp_path / "log",
        timeout=None,
        held_open=[entry for _, entry in ends],
        preloaded=preloaded,
    )
    with supervisor:
        time.sleep(1)  # the message has arrived
        for _, entry in ends:
            os.close(entry)
        assert select.select([end for end, _ in ends], [], [], 0)[0] == []  # nobody would hold a lock that is lost
        assert supervisor.run(verbose=False).succeeded
    assert len(select.select([end for end, _ in ends], [], [], 5)[0]) == count
    for end, _ in ends:
        os.close(end)
    preloaded.close()
