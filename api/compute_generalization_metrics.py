"""Measure how an intervention generalizes across distribution shifts: the main job of GENIES."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.compute_generalization_metrics import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
