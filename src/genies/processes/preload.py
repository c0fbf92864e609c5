"""A process that has imported the libraries of the jobs and forks their supervisors, so that no job imports them again.

    python -P -m genies.processes.preload CHANNEL_FD module...

It reads requests from a socket (see Preloaded.start) until the other end closes. For each it forks a supervisor, as
supervise.py describes, which forks the job: a Python script that runs as `__main__` in its own process, process group
and environment. A job therefore shares only imported modules with others. Where the imports have initialized CUDA,
which does not survive a fork, the job's interpreter is started anew.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from genies.processes import supervise

_LENGTH = 8
"""Bytes of a request before its text: the number of bytes of the text."""

_MOST_DESCRIPTORS = 250
"""Linux passes at most 253 in one message."""


class Preloaded:
    """The harness's end: starts the process, and supervisors in it, from any thread."""

    def __init__(self, modules: Sequence[str], working_dir: Path, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *modules],
                cwd=working_dir,
                # With the check by NVML, importing a library does not initialize CUDA.
                env={**environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @staticmethod
    def can_run(argv: Sequence[str]) -> bool:
        """Whether `argv` is a Python script that can be forked here."""
        return sys.platform == "linux" and argv[0] == sys.executable and argv[1].endswith(".py")

    def start(
        self,
        arguments: Sequence[str],
        life: int,
        report: int,
        held_open: Sequence[int],
        working_dir: Path,
        environment: Mapping[str, str],
    ) -> bool:
        """Start a supervisor; False if the process has ended, or if there are too many descriptors to pass.

        `arguments` are those of supervise.py from TIMEOUT on. `life` becomes its standard input; `report` is where it
        reports; `held_open` stay open until it ends.
        """
        if 2 + len(held_open) > _MOST_DESCRIPTORS:
            return False
        request = {"arguments": [*arguments], "working_dir": str(working_dir), "environment": {**environment}}
        text = json.dumps(request).encode()
        with self._lock:
            try:
                socket.send_fds(self._channel, [len(text).to_bytes(_LENGTH)], [life, report, *held_open])
                self._channel.sendall(text)
            except OSError:
                return False
        return True

    def close(self) -> None:
        """End the process; its supervisors and their jobs go on."""
        self._channel.close()
        self._process.wait()


def serve(channel: socket.socket) -> None:
    """Fork a supervisor for each request until the channel closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system removes ended supervisors
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    own = _open_descriptors()
    while True:
        length, descriptors, _, _ = socket.recv_fds(channel, _LENGTH, _MOST_DESCRIPTORS)
        text = _read(channel, int.from_bytes(length)) if len(length) == _LENGTH else None
        if text is None:
            return
        with contextlib.suppress(OSError):  # too many processes: the closed descriptors tell the harness
            if not os.fork():
                _supervise(channel, json.loads(text), descriptors, own)
        for descriptor in descriptors:
            os.close(descriptor)


def _read(channel: socket.socket, size: int) -> bytes | None:
    text = b""
    while len(text) < size:
        part = channel.recv(size - len(text))
        if not part:
            return None
        text += part
    return text


def _open_descriptors() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


def _supervise(channel: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int], own: set[int]) -> None:
    """Be a supervisor; never returns. A job has the descriptors that this process has `own`, and no others."""
    try:
        channel.close()
        os.setsid()
        life, report = descriptors[:2]
        os.dup2(life, 0)
        os.close(life)
        os.chdir(request["working_dir"])
        os.environ.clear()
        os.environ.update(request["environment"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

        def start(argv: list[str], output: int, environment: dict[str, str], in_child: Callable[[], None]) -> Any:
            return _Forked(argv, output, environment, in_child, own)

        supervise.run([str(report), *request["arguments"]], start)
    finally:
        os._exit(0)


class _Forked:
    """A forked job, with the part of subprocess.Popen's interface that a supervisor uses."""

    def __init__(
        self,
        argv: list[str],
        output: int,
        environment: dict[str, str],
        in_child: Callable[[], None],
        kept: set[int],
    ) -> None:
        """`kept`: the descriptors that the job has, besides those of its output."""
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            _become(argv, output, environment, in_child, kept)
        with contextlib.suppress(OSError):  # the child sets it too, before or after
            os.setpgid(self.pid, self.pid)

    def poll(self) -> int | None:
        """The exit status, or the negative number of a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _become(
    argv: list[str], output: int, environment: dict[str, str], in_child: Callable[[], None], kept: set[int]
) -> None:
    """Be the job; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in _open_descriptors() - kept - {0, 1, 2}:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(descriptor)
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - as long as the job runs
        sys.stdout, sys.stderr = _unbuffered(1, sys.stdout), _unbuffered(2, sys.stderr)
        for name in ("stdin", "stdout", "stderr"):
            setattr(sys, f"__{name}__", getattr(sys, name))
        os.environ.clear()
        os.environ.update(environment)
        in_child()
        if _cuda_is_initialized():
            os.execve(argv[0], argv, environment)
        status = _run(argv[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _unbuffered(descriptor: int, like: TextIO) -> TextIO:
    """A stream for a descriptor, as Python makes it when it starts unbuffered."""
    raw = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the job runs
    return io.TextIOWrapper(raw, like.encoding, like.errors, write_through=True)


def _run(argv: list[str]) -> int:
    """Run a script as Python does, exit handlers included; returns its exit status."""
    sys.argv[:] = argv
    sys.path.insert(0, str(Path(argv[0]).resolve().parent))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    return status & 0xFF


def _cuda_is_initialized() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda._is_in_bad_fork())


def main() -> None:
    """Import the modules, as far as they are there, and serve."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    for module in sys.argv[2:]:
        with contextlib.suppress(Exception):  # the job reports it, if it needs the module
            importlib.import_module(module)
    serve(channel)


if __name__ == "__main__":
    main()
