"""One process of a test session that has imported the libraries of jobs, from which commands fork what runs their jobs.

In use, each run of the main job starts such a process (genies.processes.preload), and its imports take five seconds of
a processor. A test of that process starts a command with `subprocess`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from genies.harness.launchers import local
from genies.processes import preload
from genies.processes.process import step_environment

AT_START = ("PYTHON", "LC_", "LANG", "OMP_", "MKL_", "OPENBLAS_", "MPL", "VIRTUAL_ENV")
"""How the variables begin that Python and libraries read when they start."""
_OF_LIBRARIES = (*AT_START, "HF_", "TOKENIZERS_")


def start() -> socket.socket:
    """Start the process, which imports the libraries with the first request. The socket for requests; its end is the
    end of the process."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-c", f"from tests.support.libraries import serve; serve({theirs.fileno()})"],
            cwd=Path(__file__).resolve().parents[2],
            env=step_environment(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return ours


def serve(number: int) -> None:
    """Fork a preloaded process for each request on the socket `number`: the body of the process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system removes ended processes
    sys.path.remove("")
    with socket.socket(fileno=number) as requests:
        while True:
            asked, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 1)
            if not asked:
                return
            if "torch" not in sys.modules:
                for module in local.LIBRARIES:
                    importlib.import_module(module)
                gc.collect()
                gc.freeze()
            if not os.fork():
                break
            os.close(descriptors[0])
    channel = socket.socket(fileno=descriptors[0])
    os.set_inheritable(channel.fileno(), False)
    os.setsid()
    folder, environment = json.loads(asked)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    preload.serve(channel)
    os._exit(0)


def use(requests: socket.socket) -> None:
    """Let the main job fork the processes of its jobs from the process that answers `requests`."""
    settings = _at_start(step_environment())

    class Forked(preload.Preloaded):
        def __init__(self, modules: Sequence[str], working_dir: Path, environment: Mapping[str, str]) -> None:
            if _at_start(environment) != settings:
                super().__init__(modules, working_dir, environment)
                return
            self._lock = threading.Lock()
            self._channel, theirs = socket.socketpair()
            with theirs:
                request = json.dumps([str(working_dir), dict(environment)]).encode()
                socket.send_fds(requests, [request], [theirs.fileno()])

        def close(self) -> None:
            if hasattr(self, "_process"):
                super().close()
            else:
                self._channel.close()

    local.Preloaded = Forked  # type: ignore[attr-defined]


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_OF_LIBRARIES)}
