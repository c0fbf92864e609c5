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

What was measured last, written by `benchmarks/collect.py` from what `bash benchmarks/run.sh FOLDER` left. Ratios are
taken within one run, between things that take turns; seconds are those of the machine named. How a figure is taken
stands at the top of the file that takes it. Where total log-probabilities differ from the peer's by more than aimed
at, Precision tells which of the two is nearer to float64. What was taken again stands under the name of its file too.

## What was aimed at
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
    aimed, sections = ["| benchmark | what | figure | value | target |", "|---|---|---|---:|---:|"], []
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
