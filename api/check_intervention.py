"""Check that an intervention's folder honours the contract.

python api/check_intervention.py src/interventions/mms
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.check_intervention import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
