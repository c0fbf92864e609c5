"""Steps of interventions as separate processes, as the harness runs them: their seconds, memory and tokens.

The peak memory of a process is at least that of its parent at the start. A benchmark that reports peaks must therefore
not import torch.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from findings import ROOT
from measuring import BenchmarkArguments

from genies.contract import argument_items
from genies.errors import InputError


def thread_count(arguments: BenchmarkArguments) -> int:
    """Number of threads of a step."""
    return arguments.threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


@dataclass(frozen=True)
class Finished:
    """A process that ended with status 0."""

    seconds: float
    processor_seconds: float
    """Processor seconds of all threads, which other work on the machine does not change."""
    peak_gigabytes: float
    """Peak of the resident set, in 10^9 bytes."""
    said: str
    """Standard output and standard error."""

    @property
    def forward_tokens(self) -> int:
        """Number of tokens that passed through the model, as reported by the intervention."""
        found = re.findall(r"forward passes of (\d+) tokens", self.said)
        if not found:
            raise InputError(f"a step did not say how many tokens went through the model: {self.said[-1000:]}")
        return sum(map(int, found))


def run_step(
    arguments: BenchmarkArguments, script: str, items: Mapping[str, Any], folder: Path, cache: Path
) -> Finished:
    """Run one script of an intervention ("mms/eval.py") as the harness does; `folder` takes its log, `cache` what it
    keeps. InputError, with the end of what it said, when it fails.
    """
    return finished(*_command(arguments, script, items, cache), folder / "step.log")


def finished(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Finished:
    """Run a command to its end; `log` takes its output. InputError, with the end of what it said, when it fails."""
    with open(log, "wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        raise InputError(f"{' '.join(command)} ended with status {process.returncode}: {said[-2000:]}")
    kilobyte = 1 if platform.system() == "Darwin" else 1024  # macOS counts bytes
    return Finished(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * kilobyte / 1e9, said)


def _command(
    arguments: BenchmarkArguments, script: str, items: Mapping[str, Any], cache: Path
) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of a script."""
    environment = {**os.environ, "GENIES_CACHE": str(cache)}
    if arguments.threads is not None:
        environment["OMP_NUM_THREADS"] = str(arguments.threads)
    return [sys.executable, str(ROOT / "src" / "interventions" / script), *argument_items(items)], environment


class Seconds(NamedTuple):
    """Seconds of a process: of the processor, of all threads, and of the clock."""

    processor: float
    wall: float


def seconds_before_passes(
    arguments: BenchmarkArguments, script: str, source: str, folder: Path, cache: Path
) -> Seconds:
    """Seconds of zero_shot/eval.py or of a train.py until it announces its first forward pass; the step is then ended.

    `folder` is for its output.
    """
    model, data = str(arguments.base_model_dir.resolve()), str(arguments.distributions_dir.resolve() / source)
    where: dict[str, Any] = {"train_distribution": data, "output_dir": str(folder)}
    if script.endswith("eval.py"):
        where = {"distribution_dirs": [data], "output_paths": [str(folder / "evaluation.json")]}
    command, environment = _command(arguments, script, {"model_dir": model, **where, "max_examples": 2}, cache)
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stderr is not None
        said = b""
        while not re.search(rb"(scoring|reading activations):", said):
            if not (part := os.read(process.stderr.fileno(), 4096)):
                raise InputError(f"{' '.join(command)} ran no model: {said.decode(errors='replace')[-2000:]}")
            said += part
        wall = time.perf_counter() - started
        used = psutil.Process(process.pid).cpu_times()
        process.kill()
    return Seconds(used.user + used.system, wall)


def train_step(
    arguments: BenchmarkArguments, intervention: str, source: str, folder: Path, cache: Path, examples: int | None
) -> Finished:
    """Run an intervention's train.py on a source, into folder/`intervention`-`source`."""
    output = folder / f"{intervention}-{source}"
    output.mkdir(parents=True)
    items = {
        "model_dir": str(arguments.base_model_dir.resolve()),
        "train_distribution": str(arguments.distributions_dir.resolve() / source),
        "output_dir": str(output),
        "max_examples": examples,
    }
    return run_step(arguments, f"{intervention}/train.py", items, output, cache)


def evaluation_step(
    arguments: BenchmarkArguments,
    intervention: str,
    source: str,
    targets: Sequence[str],
    folder: Path,
    cache: Path,
    examples: int | None,
) -> Finished:
    """Run an intervention's eval.py on targets, with the output of train_step."""
    model = folder / f"{intervention}-{source}"
    items = {
        "model_dir": str(model),
        "distribution_dirs": [str(arguments.distributions_dir.resolve() / target) for target in targets],
        "output_paths": [str(model / f"{target}.json") for target in targets],
        "max_examples": examples,
    }
    return run_step(arguments, f"{intervention}/eval.py", items, model, cache)
