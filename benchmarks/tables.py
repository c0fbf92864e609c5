"""Cost of the tables of a results folder: seconds and memory of the main results and of all tables.

python benchmarks/tables.py --distributions_dir distributions [--json FILE]

The results are random, with a fixed seed: by default 25 interventions on the 56 shifts of the 2023 release, with
evaluations as long as real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

from findings import ROOT, Findings, FindingsArguments, Target, report
from pydantic import Field

from genies.command_line import run
from genies.data.shifts import read_shifts, unique_pairs

sys.path.insert(0, str(ROOT))
from tests.support.seeded_results import NINE, SeededStudy


class TablesBenchmark(FindingsArguments):
    """Make the tables of random results."""

    distributions_dir: Path = Path("distributions")
    """Folder of the distributions of the shifts."""
    path_to_distribution_shift_pairs: Path = ROOT / "distribution_shifts" / "all.json"
    """The shifts of the results."""
    interventions: Annotated[int, Field(ge=2)] = 25
    """Number of interventions."""


def benchmark(arguments: TablesBenchmark) -> int:
    """Measure the main results and all tables."""
    findings = Findings("Tables", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        results, distributions = Path(folder) / "results", arguments.distributions_dir.resolve()
        shifts = unique_pairs(read_shifts(arguments.path_to_distribution_shift_pairs))
        names = [*NINE, *(f"method_{number}" for number in range(arguments.interventions))]
        SeededStudy(results, distributions).write(shifts, names[: arguments.interventions])
        count = len(list((results / "evaluations").rglob("*.json")))
        command = [sys.executable, "api/tables.py", "--results_dir", results, "--distributions_dir", distributions]
        for name, more, target in (("main results", [], Target(at_most=5)), ("all tables", ["--full", "True"], None)):
            make(findings, f"{name} of {count:,} evaluations", [*map(str, command), *more], target)
    return report(arguments, findings)


def make(findings: Findings, subject: str, command: list[str], target: Target | None) -> None:
    """Run the command once: its wall seconds, processor seconds and peak memory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1]} ended with status {process.returncode}")
    findings.add(subject, "seconds", time.perf_counter() - start, "s")
    findings.add(subject, "processor seconds", usage.ru_utime + usage.ru_stime, "s", target)
    findings.add(subject, "peak memory", usage.ru_maxrss / 1024, "MB")


if __name__ == "__main__":
    run(benchmark)
