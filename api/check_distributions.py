"""Audit distributions: leaks, duplicates, contradictions, constants, and how far a trivial classifier gets.

python api/check_distributions.py distributions
python api/check_distributions.py distributions --shifts distribution_shifts/GENIES.json --json audit.json
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.check_distributions import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
