"""Commands of the project in processes of their own, without the second that each takes to import its libraries.

A server, started once in a test session, imports what the commands import and forks for each command. The fork runs
the script as `__main__` with its own arguments, environment, folder, output and exit status, and ends as any Python
process does. Tests of start-up, signals and streams start their processes with `subprocess` instead.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import libraries
from tests.support.libraries import AT_START

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 600


def run_command(
    script: str | Path, arguments: Sequence[object], env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """What `python script arguments` prints and its exit status; the script is named from the project's root."""
    environment = dict(os.environ if env is None else env)
    argv = [str(ROOT / script), *map(str, arguments)]
    server = _server(tuple(sorted(item for item in environment.items() if item[0].startswith(AT_START))))
    with (
        tempfile.TemporaryFile("w+") as request,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        json.dump({"argv": argv, "cwd": str(cwd), "environment": environment}, request)
        request.flush()
        socket.send_fds(server, [b"."], [request.fileno(), output.fileno(), errors.fileno()])
        status = server.recv(100).decode()
        assert status, "the server of commands has ended"
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
    return subprocess.CompletedProcess([sys.executable, *argv], int(status), *texts)


@cache
def _server(settings: tuple[tuple[str, str], ...]) -> socket.socket:
    """The connection to a server whose interpreter was started with these environment variables."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_TIMEOUT)
    others = {name: value for name, value in os.environ.items() if not name.startswith(AT_START)}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.support.commands import serve; serve({theirs.fileno()})"],
            cwd=ROOT,
            env={**others, **dict(settings)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def serve(number: int) -> None:
    """Fork for each request on the socket `number` and answer with the exit status: the body of the server."""
    _import_libraries()
    gc.collect()
    gc.freeze()
    libraries.use(libraries.start())
    with socket.socket(fileno=number) as requests:
        while True:
            asked, files, _, _ = socket.recv_fds(requests, 1, 3)
            if not asked:
                return
            pid = os.fork()
            if pid == 0:
                break
            for file in files:
                os.close(file)
            requests.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    for place, file in enumerate(files[1:], start=1):
        os.dup2(file, place)
        os.close(file)
    with open(files[0], encoding="utf-8") as request:
        request.seek(0)
        _run(json.load(request))


def _run(request: dict[str, Any]) -> None:
    """Run the script of a request in this process."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    sys.path[0] = str(Path(sys.argv[0]).parent)  # as Python does for a script
    runpy.run_path(sys.argv[0], run_name="__main__")


def _import_libraries() -> None:
    import genies.commands.check_distributions
    import genies.commands.compute_generalization_metrics
    import genies.commands.import_distribution
    import genies.commands.tables
    import genies.commands.train
    import genies.report.writing  # noqa: F401
    from genies.main_job.request import MetricsRequest

    MetricsRequest.model_rebuild()  # otherwise made when it is first used
