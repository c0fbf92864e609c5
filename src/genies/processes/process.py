"""Run a job's command in its own process group, with a log and a timeout; it ends when the harness ends."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genies.processes import supervise
from genies.processes.preload import Preloaded
from genies.step_defaults import step_defaults
from genies.terminal import without_controls

GRACE_SECONDS = 5.0
"""Time between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended."""

    returncode: int
    """Exit status, or the negative number of the signal that killed it."""
    seconds: float
    timed_out: bool = False
    cancelled: bool = False
    error: str | None = None
    """Why it could not be started or supervised."""

    @property
    def succeeded(self) -> bool:
        return self.returncode == 0 and not self.timed_out and not self.cancelled and self.error is None

    def describe(self) -> str:
        """The failure as a part of a sentence."""
        if self.error is not None:
            return f"could not be started: {self.error}"
        if self.timed_out:
            return f"was stopped after its time limit of {self.seconds:.0f} s"
        if self.cancelled:
            return "was stopped with the run"
        if self.returncode < 0:
            try:
                name = signal.Signals(-self.returncode).name
            except ValueError:
                name = f"signal {-self.returncode}"
            return f"was killed by {name}"
        return f"exited with status {self.returncode}"


class Supervisor:
    """A job's supervisor process: it starts with this object and waits for `run` before it starts the job."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        working_dir: Path,
        environment: Mapping[str, str],
        log_file: Path,
        timeout: float | None,
        held_open: Sequence[int] = (),
        read_only: Sequence[Path] = (),
        preloaded: Preloaded | None = None,
    ) -> None:
        """`argv` is run without a shell and without standard input; its output is appended to `log_file`.

        `held_open` are descriptors, such as locks, that stay open until the job's last process has ended, even if this
        process is killed. `read_only` are folders that the job cannot write to, where the system allows it. A Python
        script is forked from `preloaded`, if it is given.
        """
        self._log_file = log_file
        self._report, report_write = os.pipe()
        life, self._life = os.pipe()
        arguments = [str(timeout or 0), str(GRACE_SECONDS), str(log_file), json.dumps([*map(str, read_only)]), "--"]
        arguments += argv
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if not (
                preloaded is not None
                and preloaded.can_run(argv)
                and preloaded.start(arguments, life, report_write, held_open, working_dir, environment)
            ):
                # In its own session it gets no Ctrl-C from the terminal: the harness decides which jobs to end.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", supervise.__file__, str(report_write), *arguments],
                    stdin=life,
                    cwd=working_dir,
                    env=dict(environment),
                    pass_fds=[report_write, *held_open],
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._report)
            os.close(self._life)
            raise
        finally:
            os.close(life)
            os.close(report_write)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        """End the job, if it still runs, with its whole process group."""
        self._let_go()
        while os.read(self._report, 65536):  # it closes when the supervisor has ended
            pass
        if self._process is not None:
            self._process.wait()
        os.close(self._report)

    def _let_go(self) -> None:
        if self._life >= 0:
            os.close(self._life)
        self._life = -1

    def run(self, *, verbose: bool, cancel_fd: int | None = None, gpu: str | None = None) -> Outcome:
        """Run the job to its end; `verbose` shows its output as it runs.

        The job is ended when `cancel_fd` becomes readable. `gpu`: the only GPU that it sees (default: all).
        """
        started = time.monotonic()
        if cancel_fd is not None and select.select([cancel_fd], [], [], 0)[0]:
            return Outcome(1, 0.0, cancelled=True)
        order = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        with contextlib.suppress(BrokenPipeError):  # the supervisor was killed, and no answer follows
            os.write(self._life, json.dumps(order).encode() + b"\n")
        answer = _follow(self._report, self._log_file if verbose else None, cancel_fd)
        if answer is None:
            self._let_go()
            answer = _follow(self._report, None, None)
        if not answer:
            return Outcome(1, time.monotonic() - started, error="its supervisor was killed")
        report = json.loads(answer)
        if "error" in report:
            return Outcome(1, time.monotonic() - started, error=report["error"])
        return Outcome(report["returncode"], report["seconds"], report["timed_out"], report["cancelled"])


def run_process(
    argv: Sequence[str],
    *,
    working_dir: Path,
    environment: Mapping[str, str],
    log_file: Path,
    timeout: float | None,
    verbose: bool,
    cancel_fd: int | None = None,
    preloaded: Preloaded | None = None,
) -> Outcome:
    """Run `argv` under its own Supervisor, with the same arguments."""
    with Supervisor(
        argv,
        working_dir=working_dir,
        environment=environment,
        log_file=log_file,
        timeout=timeout,
        preloaded=preloaded,
    ) as supervisor:
        return supervisor.run(verbose=verbose, cancel_fd=cancel_fd)


def _follow(report_fd: int, shown_log: Path | None, cancel_fd: int | None) -> bytes | None:
    """Wait for the supervisor's report and show new output of the log; None if the job is cancelled."""
    watched = [report_fd] if cancel_fd is None else [report_fd, cancel_fd]
    answer = b""
    with contextlib.ExitStack() as stack:
        log: BinaryIO | None = None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            ready, _, _ = select.select(watched, [], [], None if shown_log is None else 0.1)
            if shown_log is not None:
                if log is None and shown_log.exists():
                    log = stack.enter_context(open(shown_log, "rb"))
                if log is not None:
                    _show(log, decoder)
            if cancel_fd in ready:
                return None
            if report_fd in ready:
                part = os.read(report_fd, 65536)
                if not part:
                    return answer
                answer += part


def _show(log: BinaryIO, decoder: codecs.IncrementalDecoder) -> None:
    if log.tell() > os.fstat(log.fileno()).st_size:  # the middle of a long log was removed
        log.seek(supervise.KEPT_BYTES)
    while block := log.read(1 << 16):
        sys.stderr.write(without_controls(decoder.decode(block)))
        sys.stderr.flush()


def last_lines(log_file: Path, count: int = 12) -> list[str]:
    """The last lines of a log; of a progress bar, its last state. Only the last 64 KiB are read."""
    try:
        with open(log_file, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [without_controls(line.rsplit("\r", 1)[-1].rstrip()) for line in text.replace("\r\n", "\n").split("\n")]
    return [line for line in lines if line][-count:]


def step_environment(threads: int | None = None) -> dict[str, str]:
    """The user's environment for a job: unbuffered output, so that logs are complete, and no access to a model hub.

    threads: CPU threads (default: all cores).
    """
    defaults = {
        **step_defaults(),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads or available_cores()),
    }
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}


def available_cores() -> int:
    """CPU cores that this process may use; a batch system may limit them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
