"""The jobs of a plan as command lines for batch systems: one line of JSON per job, and the command that runs one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from genies.command_line import Arguments
from genies.errors import BAD_INPUT
from genies.file_hashes import FileHashes
from genies.files import read_text, write_text
from genies.harness.execute import carry_out
from genies.harness.order import Order, Place, Settings, order_from_json, order_to_json, result_to_json
from genies.harness.schedule import Task


def write_commands(path: Path, waiting: Sequence[Task], settings: Settings) -> None:
    """Write a line for each job that must run: {"id": 2, "needs": [1], "step": title, "argv": [...]}.

    A line can run when the jobs it needs have succeeded; its working directory is the project root. Each job is stored
    in a file in the folder <path>.steps, because a command line is too short for hundreds of distributions. When all
    jobs have run, the main job without --emit_commands finds all results and writes the table.
    """
    folder = path.with_name(f"{path.name}.steps")
    lines = []
    for task in waiting:
        order_file = folder / f"{task.number}.json"
        write_text(order_file, order_to_json(Order(task.check, settings)) + "\n")
        lines.append(
            {
                "id": task.number,
                "needs": [] if task.needs is None else [task.needs],
                "step": task.check.job.title,
                "argv": [sys.executable, *_run_step(settings), "--order_file", str(order_file)],
            }
        )
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _run_step(settings: Settings) -> list[str]:
    """The script in a checkout; elsewhere the module of the installed package, which does the same."""
    script = Path("api", "run_step.py")
    return [str(script)] if (settings.store.root / script).is_file() else ["-m", "genies.commands.run_step"]


class StepRequest(Arguments):
    """Run one job of a plan: the argv of a line that --emit_commands wrote.

    The job runs as in the main job: lock, staging, timeout, checks of its outputs, move into place.
    """

    order_file: Path
    """The job: a JSON file that --emit_commands wrote."""
    result_file: Path | None = None
    """Write the job's result to this file, as JSON, for a launcher."""


def run_one(request: StepRequest, hashes_file: Path) -> int:
    """Run the job and return the exit status: 0, 1 if it failed, 2 for bad input."""
    hashes = FileHashes(hashes_file)
    order = order_from_json(read_text(request.order_file, "--order_file"))
    result = carry_out(order, Place(hashes))
    hashes.save()
    if request.result_file is not None:
        write_text(request.result_file, result_to_json(result) + "\n")
    if result.failure is None:
        print(f"done: {result.title}")
        return 0
    print(f"error: {result.failure}", file=sys.stderr)
    return BAD_INPUT if result.bad_input else 1
