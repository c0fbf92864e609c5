"""Run one step of a plan, as a line of --emit_commands names it."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.run_step import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
