"""The jobs of a plan for batch systems, one line of JSON per job; genies.commands.run_step runs one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from genies.files import write_text
from genies.harness.order import Order, Settings, order_to_json
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
