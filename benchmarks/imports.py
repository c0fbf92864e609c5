"""What a step costs besides its work: processor and wall-clock seconds, over those of `import torch`.

python benchmarks/imports.py [--distributions_dir distributions] [--json FILE]

Steps that find all activations in the store are measured whole; steps that run the model until their first forward
pass, when their progress bar appears. The outline of the model is in the store, as it is from the second step on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from findings import Target, report
from measuring import BenchmarkArguments, findings_of
from pydantic import Field
from steps import Seconds, evaluation_step, seconds_before_passes, thread_count, train_step

from genies.command_line import run


class ImportArguments(BenchmarkArguments):
    """Evaluate interventions that find all activations in the store, and start steps that run a model."""

    interventions: list[str] = Field(default=["mms", "lat_stim_1", "cra"])
    """Names of the interventions; they read representations."""
    distribution: str = "us_history_fiction"
    """Source and target."""
    examples: int = Field(default=24, ge=2)
    """Number of training and test examples."""


LIMIT, MODEL_LIMIT = Target(at_most=0.8), Target(at_most=2.0)
WITHOUT_END = "import torch, without the end of the process"
"""Python's end takes a quarter of the time, and a step that is measured until its first forward pass has not ended."""

LOADING = "from genies.lm.model import load_model; from transformers import AutoModelForCausalLM, AutoTokenizer"


def import_seconds(code: str) -> Seconds:
    """Seconds of a process that runs `code`."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code} ended with status {process.returncode}")
    return Seconds(usage.ru_utime + usage.ru_stime, wall)


def benchmark(arguments: ImportArguments) -> int:
    """Measure the seconds of each script and of the imports, alternating."""
    findings = findings_of(arguments, "Imports", thread_count(arguments))
    source, examples = arguments.distribution, arguments.examples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"

        def evaluate(intervention: str) -> Seconds:
            step = evaluation_step(arguments, intervention, source, [source], folder, cache, examples)
            return Seconds(step.processor_seconds, step.seconds)

        def start(script: str) -> Seconds:
            output = Path(tempfile.mkdtemp(dir=folder))
            return seconds_before_passes(arguments, script, source, output, folder / "cache of starts")

        start("zero_shot/eval.py")  # stores the outline
        for intervention in arguments.interventions:
            train_step(arguments, intervention, source, folder, cache, examples)
            evaluate(intervention)  # stores the activations
        stored: dict[str, Callable[[], Seconds]] = {
            f"{each}, eval, all in the store": lambda each=each: evaluate(each) for each in arguments.interventions
        }
        started: dict[str, Callable[[], Seconds]] = {
            "zero_shot, eval, before the first forward pass": lambda: start("zero_shot/eval.py"),
            "mms, train, before the first forward pass": lambda: start("mms/train.py"),
        }
        # What a model costs that transformers has to load.
        loading = {"imports of transformers to load a model": lambda: import_seconds(LOADING)}
        variants = {
            "import torch": lambda: import_seconds("import torch"),
            WITHOUT_END: lambda: import_seconds("import os, torch; os._exit(0)"),
            **stored,
            **started,
            **loading,
        }
        rounds: list[dict[str, Seconds]] = []
        for _ in range(arguments.repeats):
            rounds.append({name: body() for name, body in variants.items()})
    for place, what in enumerate(Seconds._fields):
        medians = {name: median(each[name][place] for each in rounds) for name in variants}
        for name, found in medians.items():
            findings.add(name, f"{what} seconds", found, "s")
            if name in stored or name in started:
                base, limit = (WITHOUT_END, MODEL_LIMIT) if name in started else ("import torch", LIMIT)
                findings.add(name, f"{what} seconds over {base}", found / medians[base], "", limit)
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
