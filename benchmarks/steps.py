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
from typing import Any

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
    environment = {**os.environ, "GENIES_CACHE": str(cache)}
    if arguments.threads is not None:
        environment["OMP_NUM_THREADS"] = str(arguments.threads)
    command = [sys.executable, str(ROOT / "src" / "interventions" / script), *argument_items(items)]
    log = folder / "step.log"
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
