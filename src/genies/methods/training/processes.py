"""Run a script in several processes of one group, with the environment that torch.distributed and accelerate expect.

    python -m genies.methods.training.processes 2 src/interventions/lora_fine_tune/train.py --model_dir ...

Like `accelerate launch --num_processes N`, with three differences: it also starts CPU processes, only the first
process prints, and a failed script's message and exit status are passed on unchanged. Imports no torch.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from genies.errors import InputError, run_command

PATIENCE = 10.0
"""Seconds after a failed process before the other processes are killed."""


def run_processes(count: int, argv: Sequence[str]) -> int:
    """Run `python *argv` in `count` processes; returns 0 if all succeed, else the exit status of a failed one.

    The first process inherits the output streams. The output of another process is printed only if it failed and the
    first process did not.
    """
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1) // count)
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": str(threads),
    }
    outputs: list[IO[bytes]] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            output = None
            if rank:
                output = tempfile.TemporaryFile()  # noqa: SIM115
                outputs.append(output)
            processes.append(subprocess.Popen([sys.executable, *argv], env=environment, stdout=output, stderr=output))
        _wait(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    return _status([process.returncode for process in processes], outputs)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all processes end. After a failure, wait at most PATIENCE seconds, because the others may hang."""
    deadline: float | None = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() for process in processes):
            deadline = time.monotonic() + PATIENCE
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _status(codes: Sequence[int], outputs: Sequence[IO[bytes]]) -> int:
    if codes[0] > 0:  # the first process has printed its message
        return codes[0]
    failed = next((rank for rank, code in enumerate(codes) if code > 0), None)
    if failed is None:
        failed = next((rank for rank, code in enumerate(codes) if code), None)
    if failed is None:
        return 0
    if failed:
        output = outputs[failed - 1]
        output.seek(max(0, output.seek(0, os.SEEK_END) - 4096))
        sys.stderr.write(output.read().decode("utf-8", "replace"))
    code = codes[failed]
    return code if code > 0 else 128 - code


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main(argv: Sequence[str]) -> int:
    """The command line: a number of processes, a script, and its arguments."""
    if len(argv) < 2 or not argv[0].isdecimal() or int(argv[0]) < 1:
        raise InputError(
            f"expected a number of processes, a script and its arguments, got {' '.join(argv) or 'nothing'}"
        )
    return run_processes(int(argv[0]), argv[1:])


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
