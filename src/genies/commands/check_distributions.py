"""Audit distributions: leaks, duplicates, contradictions, constants, and the accuracy of trivial classifiers.

python api/check_distributions.py distributions
python api/check_distributions.py distributions --shifts distribution_shifts/GENIES.json --json audit.json
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from genies.command_line import Arguments
from genies.data.audit.markdown import to_markdown
from genies.data.audit.suite import audit
from genies.data.shifts import Shift, read_shifts
from genies.errors import InputError
from genies.files import write_json
from genies.shipped import place


class CheckDistributionsArguments(Arguments):
    """Audit distributions: schema, sizes, duplicates, leaks, contradictory labels, constants, trivial baselines.

    Example:
      python api/check_distributions.py distributions --json audit.json

    The first argument may be the folder of distributions (or one distribution) instead of --distributions_dir.
    Findings are printed as Markdown. They do not change the exit status, which is 0 if the audit was completed.
    """

    positional: ClassVar[str | None] = "distributions_dir"
    aliases: ClassVar[dict[str, str]] = {"json": "json_path"}

    distributions_dir: Path = Path("distributions")
    """Folder of the distributions, or one distribution."""
    shifts: list[Path] | None = None
    """Shift files; the audit looks for test prompts of a target in the train split of its source.
    Default: the files in distribution_shifts/, for the distributions that exist."""
    json_path: Path | None = None
    """JSON file to write the findings to; --json is the short form."""


def main(args: CheckDistributionsArguments, root: Path) -> int:
    if args.json_path is not None and args.json_path.is_dir():
        raise InputError(f"--json {args.json_path} is a folder; expected the name of a file to write")
    given = "distributions_dir" in args.model_fields_set
    folder = args.distributions_dir if given else place(args.distributions_dir, root)
    result = audit(folder, shifts_of(args.shifts, folder, root), progress=True)
    if args.json_path is not None:
        write_json(args.json_path, result.to_json())
    print(to_markdown(result), end="")
    return 0


def shifts_of(files: list[Path] | None, folder: Path, root: Path) -> list[Shift]:
    """The shifts in the given files, or those in the project's files whose distributions are in `folder`."""
    named = sorted(place(Path("distribution_shifts"), root).glob("*.json")) if files is None else files
    shifts = [shift for file in named for shift in read_shifts(file)]
    present = [shift for shift in shifts if (folder / shift.source).is_dir() and (folder / shift.target).is_dir()]
    if files is None:
        return present
    if not present:
        raise InputError(f"--shifts: {folder} holds the distributions of no shift in {', '.join(map(str, files))}")
    return shifts
