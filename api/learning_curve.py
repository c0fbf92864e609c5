"""Evaluate the models after single steps of a training."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.learning_curve import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
