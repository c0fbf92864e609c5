"""What a step costs besides its work: processor seconds of whole scripts, over those of `import torch`.

python benchmarks/imports.py [--distributions_dir distributions] [--json FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from findings import Target, report
from measuring import BenchmarkArguments, findings_of
from pydantic import Field
from steps import evaluation_step, thread_count, train_step

from genies.command_line import run


class ImportArguments(BenchmarkArguments):
    """Evaluate interventions that find all activations in the store, and import what a step that runs a model needs."""

    interventions: list[str] = Field(default=["mms", "lat_stim_1", "cra"])
    """Names of the interventions; they read representations."""
    distribution: str = "us_history_fiction"
    """Source and target."""
    examples: int = Field(default=24, ge=2)
    """Number of training and test examples."""


LIMIT, MODEL_LIMIT = Target(at_most=0.8), Target(at_most=2.0)


def import_seconds(code: str) -> float:
    """Processor seconds of a process that runs `code`."""
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def benchmark(arguments: ImportArguments) -> int:
    """Measure the processor seconds of each script and of the imports, alternating."""
    findings = findings_of(arguments, "Imports", thread_count(arguments))
    source, examples = arguments.distribution, arguments.examples
    loading = "from genies.lm.model import load_model; from transformers import AutoModelForCausalLM, AutoTokenizer"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"

        def evaluate(intervention: str) -> float:
            return evaluation_step(arguments, intervention, source, [source], folder, cache, examples).processor_seconds

        for intervention in arguments.interventions:
            train_step(arguments, intervention, source, folder, cache, examples)
            evaluate(intervention)  # stores the activations
        variants: dict[str, Callable[[], float]] = {
            f"{each}, eval, all in the store": lambda each=each: evaluate(each) for each in arguments.interventions
        }
        variants["imports to load a model"] = lambda: import_seconds(loading)
        seconds: dict[str, list[float]] = {name: [] for name in ["import torch", *variants]}
        for _ in range(arguments.repeats):
            seconds["import torch"].append(import_seconds("import torch"))
            for name, body in variants.items():
                seconds[name].append(body())
    medians = {name: median(each) for name, each in seconds.items()}
    findings.add("import torch", "processor seconds", medians["import torch"], "s")
    for name in variants:
        limit = MODEL_LIMIT if name == "imports to load a model" else LIMIT
        findings.add(name, "processor seconds", medians[name], "s")
        findings.add(name, "over import torch", medians[name] / medians["import torch"], "", limit)
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
