"""Evaluate one tuned model, or an untuned one, on distributions."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.evaluate import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
