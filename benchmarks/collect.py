"""Write a page of all benchmarks' figures from the JSON files of one or several runs.

python benchmarks/collect.py --folder FOLDER [--output benchmarks/README.md]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figures import Figure, Target, described, table

from genies.command_line import Arguments, run
from genies.errors import InputError
from genies.files import write_bytes

ORDER = ("scoring", "precision", "activations", "shared_work", "growth", "memory", "training", "harness", "report")

HEAD = """# Benchmarks

The latest measurements. `bash benchmarks/run.sh FOLDER` takes them, and `benchmarks/collect.py` writes this page. Times
that are compared with each other were measured alternately in one run. Seconds are those of the machine named in each
section. The docstring of each benchmark says how it measures. Where total log-probabilities differ from another
project's by more than the target, *Precision* shows which of the two is closer to float64. A benchmark that was
measured again has a section for each run.

## Targets
"""


class CollectArguments(Arguments):
    """Write a page of benchmarks' figures."""

    folder: Path
    """Folder of JSON files, each written by a benchmark's --json."""
    output: Path = Path("benchmarks/README.md")
    """The Markdown file."""


def collect(arguments: CollectArguments) -> int:
    """One section a file, in the order in which run.sh makes them."""
    files = sorted(arguments.folder.glob("*.json"), key=lambda file: (_place(file.stem), file.stem))
    if not files:
        raise InputError(f"{arguments.folder} holds no JSON file of a benchmark; bash benchmarks/run.sh writes them")
    aimed, sections = ["| benchmark | case | measurement | value | target |", "|---|---|---|---:|---:|"], []
    for file in files:
        record = json.loads(file.read_text(encoding="utf-8"))
        try:
            figures = [_figure(each) for each in record["figures"]]
            title = record["benchmark"] if file.stem in ORDER else f"{record['benchmark']}, {file.stem}"
            sections.append(_section(title, record, figures))
        except (KeyError, TypeError) as error:
            raise InputError(f"{file}: expected what a benchmark's --json writes; missing or wrong: {error}") from None
        aimed += [f"| {title} {each.row()}" for each in figures if each.target is not None]
    write_bytes(arguments.output, "\n".join([HEAD, *aimed, "", *sections]).encode())
    print(f"{len(files)} benchmarks in {arguments.output}")
    return 0


def _place(name: str) -> int:
    """Where a file's section stands: scoring_quiet after scoring, of which it is another run."""
    return next((place for place, each in enumerate(ORDER) if name.startswith(each)), len(ORDER))


def _section(title: str, record: dict[str, Any], figures: list[Figure]) -> str:
    where = f"`{record['command']}`, {record['date']}, commit {record['commit']}; {described(record['machine'])}"
    return "\n".join([f"## {title}\n", f"{where}\n", table(figures), ""])


def _figure(given: dict[str, Any]) -> Figure:
    target = None if given["target"] is None else Target(**given["target"])
    return Figure(given["subject"], given["name"], given["value"], given["unit"], target)


if __name__ == "__main__":
    run(collect)
