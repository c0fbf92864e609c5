"""Run several trainings one after the other in a process, or in each of several: python -m tests.support.trainings FILE

FILE is a JSON list of objects: intervention, model, source, output, options, and stop, the number of steps after which
the training ends like a killed one, or fails, the arguments of `out_of_memory`. Starting processes and importing
libraries takes longer than these trainings.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.support.reward_examples import ROOT, train


class Stopped(BaseException):
    """Stands for the end of a process."""


def run_in_processes(count: int, jobs: Sequence[dict[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the trainings in `count` processes that train together; `folder` is for the list of them."""
    listed = folder / "trainings.json"
    listed.write_text(json.dumps(jobs, default=str), encoding="utf-8")
    argv = [sys.executable, "-m", "genies.methods.training.processes", str(count), "-m", __name__, str(listed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def train_until(step: int, *arguments: Any, **options: Any) -> None:
    """Train, and end after `step` steps as abruptly as an exception can."""
    from genies.methods.training.record import Record

    add = Record.add

    def add_and_stop(self: Any, entry: dict[str, Any]) -> None:
        add(self, entry)
        if entry["step"] == step:
            raise Stopped

    Record.add = add_and_stop  # type: ignore[method-assign]
    try:
        train(*arguments, **options)
    except Stopped:
        return
    finally:
        Record.add = add  # type: ignore[method-assign]
    raise AssertionError(f"the training ended before step {step}")


@contextmanager
def out_of_memory(process: int, calls: Sequence[int], where: str) -> Iterator[None]:
    """Within the context, one process runs out of memory in these calls, from 0, of a Llama model's MLPs: in their
    forward pass, or in the backward pass of their result. Passes that find out a model's capability do not count."""
    from torch import OutOfMemoryError, is_inference_mode_enabled
    from torch.nn.modules.module import register_module_forward_hook

    counted = itertools.count()

    def fail(*_: Any) -> None:
        raise OutOfMemoryError("out of memory, for a test")

    def hook(module: Any, _inputs: Any, output: Any) -> None:
        if type(module).__name__ != "LlamaMLP" or is_inference_mode_enabled() or next(counted) not in calls:
            return
        if where == "backward":
            output.register_hook(fail)
        else:
            fail()

    handle = register_module_forward_hook(hook) if int(os.environ["RANK"]) == process else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def main(listed: Path) -> None:
    from accelerate import Accelerator

    Accelerator.end_training = lambda self: None  # the group serves the next training too
    for job in json.loads(listed.read_text(encoding="utf-8")):
        arguments = job["intervention"], Path(job["model"]), Path(job["source"]), Path(job["output"])
        if "stop" in job:
            train_until(job["stop"], *arguments, **job["options"])
        else:
            with out_of_memory(**job["fails"]) if "fails" in job else nullcontext():
                train(*arguments, **job["options"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
