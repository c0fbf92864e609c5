"""The simulations of intervals and tests, as a person runs them."""

import subprocess
import sys

from tests.support.project import ROOT


def test_every_table_is_printed() -> None:
    command = [sys.executable, "benchmarks/coverage.py", "--trials", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("|---") for line in lines) == 4
    genies = [line for line in lines if line.startswith("| GENIES: 15 shifts, 8 sources")]
    assert len(genies) == 6
    assert all(set(line.split(" | ")[2:]) <= {"0.000", "1.000", "0.000 |", "1.000 |"} for line in genies)
