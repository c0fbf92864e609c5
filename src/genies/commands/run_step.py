"""Run one job of a plan, given as a line of --emit_commands."""

from __future__ import annotations

from pathlib import Path

from genies.cache import cache_dir
from genies.command_line import Arguments, run
from genies.commands.single import exit_status
from genies.errors import termination_as_interrupt
from genies.file_hashes import FileHashes
from genies.files import read_text, write_text
from genies.harness.execute import carry_out
from genies.harness.order import Place, order_from_json, result_to_json


class StepRequest(Arguments):
    """Run one job of a plan, whose file --emit_commands wrote.

    The job runs as in the main job: lock, staging, timeout, checks of its outputs, move into place.
    """

    order_file: Path
    """The job: a file in `<FILE>.steps/`, which --emit_commands FILE wrote."""
    result_file: Path | None = None
    """Write the job's result to this file, as JSON, for a launcher."""


def main(request: StepRequest, root: Path) -> int:
    """Run the job and return the exit status: 0, 1 if it failed, 2 for bad input."""
    with termination_as_interrupt():
        hashes = FileHashes(cache_dir(root) / "file_hashes.json")
        order = order_from_json(read_text(request.order_file, "--order_file"))
        result = carry_out(order, Place(hashes))
        hashes.save()
        if request.result_file is not None:
            write_text(request.result_file, result_to_json(result) + "\n")
        if result.failure is None:
            print(f"done: {result.title}")
        return exit_status(result)


if __name__ == "__main__":
    run(main, Path.cwd())
