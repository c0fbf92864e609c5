"""Peak memory of interventions with default arguments, each step as a separate process.

python benchmarks/memory.py --distributions_dir distributions [--json FILE]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from findings import Target, report
from measuring import BenchmarkArguments, findings_of
from pydantic import Field
from steps import evaluation_step, thread_count, train_step

from genies.command_line import run


class MemoryArguments(BenchmarkArguments):
    """Train and evaluate interventions on one distribution."""

    interventions: list[str] = Field(default=["zero_shot", "few_shot", "mms"])
    """Names of the interventions."""
    distribution: str = "us_history_fiction"
    """Source and target."""
    examples: Annotated[int, Field(ge=2)] | None = None
    """Number of training and test examples (default: all)."""
    limit_gigabytes: float = 3.0
    """Expected maximum of a step, in 10^9 bytes."""


def benchmark(arguments: MemoryArguments) -> int:
    """Measure the peak memory of each step."""
    findings = findings_of(arguments, "Peak memory", thread_count(arguments))
    limit = Target(at_most=arguments.limit_gigabytes)
    with tempfile.TemporaryDirectory() as name:
        folder, source, examples = Path(name), arguments.distribution, arguments.examples
        for intervention in arguments.interventions:
            cache = folder / f"cache-{intervention}"
            step = train_step(arguments, intervention, source, folder, cache, examples)
            findings.add(f"{intervention}, train", "peak memory", step.peak_gigabytes, "GB", limit)
            step = evaluation_step(arguments, intervention, source, [source], folder, cache, examples)
            findings.add(f"{intervention}, eval", "peak memory", step.peak_gigabytes, "GB", limit)
            findings.add(f"{intervention}, eval", "seconds", step.seconds, "s")
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
