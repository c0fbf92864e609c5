"""The two names of a command: `python api/compute_generalization_metrics.py` in a checkout, `genies run` anywhere."""

from __future__ import annotations

import re
import sys

COMMANDS = {
    "run": "compute_generalization_metrics",
    "train": "train",
    "evaluate": "evaluate",
    "check": "check_intervention",
    "tables": "tables",
    "report": "report",
    "card": "card",
    "curve": "learning_curve",
    "reanalyse": "reanalyse_release",
    "import": "import_distribution",
    "transform": "transform_distribution",
    "audit": "check_distributions",
}
"""The scripts in api/, and the modules in genies.commands, by the names of the commands of `genies`."""

_SCRIPT = re.compile(rf"(?:python )?api/({'|'.join(COMMANDS.values())})\.py")


def spelled(text: str) -> str:
    """A text that names scripts in api/, with the names that the person who started this process uses."""
    if not started_as_genies():
        return text
    names = {script: name for name, script in COMMANDS.items()}
    return _SCRIPT.sub(lambda found: f"genies {names[found[1]]}", text)


def started_as_genies() -> bool:
    """Whether this process is a command of `genies`, which writes its name into sys.argv[0]."""
    return sys.argv[0].partition(" ")[0] == "genies" and " " in sys.argv[0]
