"""Run one step of a plan, as a line of --emit_commands names it."""

from pathlib import Path

import installed  # noqa: F401

from genies.cache import cache_dir
from genies.command_line import run
from genies.harness.commands import StepRequest, run_one
from genies.harness.main_job import termination_as_interrupt

ROOT = Path(__file__).resolve().parents[1]


def main(request: StepRequest) -> int:
    with termination_as_interrupt():
        return run_one(request, cache_dir(ROOT) / "file_hashes.json")


if __name__ == "__main__":
    run(main)
