"""Run one job of a plan, given as a line of --emit_commands."""

from __future__ import annotations

from pathlib import Path

from genies.cache import cache_dir
from genies.command_line import run
from genies.errors import termination_as_interrupt
from genies.harness.commands import StepRequest, run_one


def main(request: StepRequest, root: Path) -> int:
    with termination_as_interrupt():
        return run_one(request, cache_dir(root) / "file_hashes.json")


if __name__ == "__main__":
    run(main, Path.cwd())
