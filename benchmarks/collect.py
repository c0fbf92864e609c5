"""Write a page with the measurements of all benchmarks from the JSON files of one or several runs.

python benchmarks/collect.py --folder FOLDER [--output benchmarks/README.md]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from findings import Measurement, Target, described, table

from genies.command_line import Arguments, run
from genies.errors import InputError
from genies.files import write_bytes

ORDER = (
    "scoring",
    "precision",
    "activations",
    "shared_work",
    "growth",
    "memory",
    "cost",
    "imports",
    "training",
    "harness",
    "tables",
    "report",
)

HEAD = """# Benchmarks

The latest measurements. `bash benchmarks/run.sh FOLDER` takes them, and `benchmarks/collect.py` writes this page. Times
that are compared with each other were measured alternately in one run. Seconds are those of the machine named in each
section. The docstring of each benchmark says how it measures. Where total log-probabilities differ from another
project's by more than the target, *Precision* shows which of the two is closer to float64. A benchmark that was
measured again has a section for each run.

## Targets
"""


class CollectArguments(Arguments):
    """Write a page with the measurements of all benchmarks."""

    folder: Path
    """Folder of the JSON files that benchmarks wrote with --json."""
    output: Path = Path("benchmarks/README.md")
    """The Markdown file."""


def collect(arguments: CollectArguments) -> int:
    """Write one section for each file, in the order of run.sh."""
    files = sorted(arguments.folder.glob("*.json"), key=lambda file: (_place(file.stem), file.stem))
    if not files:
        raise InputError(f"{arguments.folder} contains no JSON file of a benchmark; bash benchmarks/run.sh writes them")
    aimed, sections = ["| benchmark | case | measurement | value | target |", "|---|---|---|---:|---:|"], []
    for file in files:
        record = json.loads(file.read_text(encoding="utf-8"))
        try:
            measurements = [_measurement(each) for each in record["measurements"]]
            title = record["benchmark"] if file.stem in ORDER else f"{record['benchmark']}, {file.stem}"
            sections.append(_section(title, record, measurements))
        except (KeyError, TypeError) as error:
            raise InputError(f"{file}: expected what a benchmark's --json writes; missing or wrong: {error}") from None
        aimed += [f"| {title} {each.row()}" for each in measurements if each.target is not None]
    write_bytes(arguments.output, "\n".join([HEAD, *aimed, "", *sections]).encode())
    print(f"{len(files)} benchmarks in {arguments.output}")
    return 0


def _place(name: str) -> int:
    """Position of a file's section; scoring_quiet follows scoring, of which it is another run."""
    return next((place for place, each in enumerate(ORDER) if name.startswith(each)), len(ORDER))


def _section(title: str, record: dict[str, Any], measurements: list[Measurement]) -> str:
    where = f"`{record['command']}`, {record['date']}, commit {record['commit']}; {described(record['machine'])}"
    return "\n".join([f"## {title}\n", f"{where}\n", table(measurements), ""])


def _measurement(given: dict[str, Any]) -> Measurement:
    target = None if given["target"] is None else Target(**given["target"])
    return Measurement(given["subject"], given["name"], given["value"], given["unit"], target)


if __name__ == "__main__":
    run(collect)
