"""Make probing targets of a distribution by transformations that do not change which response is best.

python api/transform_distribution.py --distribution distributions/starter_sums --name upper_case
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from genies.command_line import Arguments
from genies.data.distribution import Distribution
from genies.data.importing.distribution_writer import staged
from genies.data.transforming import TRANSFORMATIONS, transform_split
from genies.errors import InputError
from genies.files import write_json
from genies.names import check_length, check_name
from genies.quantities import counted

Name = Literal[tuple(TRANSFORMATIONS)]  # type: ignore[valid-type]


class TransformDistributionArguments(Arguments):
    """Make targets of a distribution whose texts are transformed but whose best responses are the same.

    Example:
      python api/transform_distribution.py --distribution distributions/starter_sums --name '["upper_case", "typos"]'

    Each target is a new distribution, <distribution>_<name>. A shift from the distribution to it shows how far what a
    model prefers depends on the transformed trait. --list_transformations True shows the transformations.
    """

    distribution: Path | None = None
    """Folder of the distribution."""
    name: list[Name] | None = None  # type: ignore[valid-type]
    """The transformations, one target for each: '["upper_case", "typos"]'."""
    output_dir: Path = Path("distributions")
    """Folder of the new distributions."""
    shifts_path: Path | None = None
    """Shift file to write, with a shift from the distribution to each target (default: none)."""
    overwrite: bool = False
    """Replace targets and the shift file, if they exist."""
    list_transformations: bool = False
    """Print the transformations and do nothing else."""

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("name"), str):
            return {**values, "name": [values["name"]]}
        return values

    @model_validator(mode="after")
    def _needed(self) -> TransformDistributionArguments:
        for argument in ("distribution", "name"):
            if not self.list_transformations and not getattr(self, argument):
                raise ValueError(f"--{argument} is missing")
        return self


def main(args: TransformDistributionArguments, root: Path) -> int:
    if args.list_transformations:
        width = max(map(len, TRANSFORMATIONS))
        print("\n".join(f"{name.ljust(width)}  {how.summary}" for name, how in TRANSFORMATIONS.items()))
        return 0
    assert args.distribution is not None
    source = Distribution(args.distribution)
    names = list(dict.fromkeys(args.name or ()))
    if args.shifts_path is not None and args.shifts_path.exists() and not args.overwrite:
        raise InputError(f"--shifts_path {args.shifts_path} exists; choose another name, or add --overwrite True")
    folders = {name: _folder(args.output_dir, f"{source.name}_{name}") for name in names}
    for name, folder in folders.items():
        counts = _write(source, name, folder, args.overwrite)
        print(f"{folder.name}: {counts}")
    if args.shifts_path is not None:
        write_json(
            args.shifts_path,
            [
                {"source": source.name, "target": folder.name, "label": "probing", "category": name}
                for name, folder in folders.items()
            ],
        )
        print(f"{counted(len(folders), 'shift')} in {args.shifts_path}")
    return 0


def _folder(parent: Path, name: str) -> Path:
    check_name(name, "--name")
    check_length(name, 50, "--name")
    return Path(os.path.abspath(parent)) / name  # noqa: PTH100 - resolve() would follow links


def _write(source: Distribution, name: str, folder: Path, overwrite: bool) -> str:
    parts = [part for part in ("train", "test") if (source.folder / f"{part}.json").exists()]
    words = []
    with staged(folder, overwrite) as work:
        left_out = 0
        for part in parts:
            entries, equal = transform_split(getattr(source, part), name)
            if not entries:
                raise InputError(f"{source.folder / f'{part}.json'}: after {name}, no example has different responses")
            write_json(work / "new" / f"{part}.json", entries)
            words.append(f"{len(entries):,} {part}")
            left_out += equal
        summary = TRANSFORMATIONS[name].summary
        about = {"id": folder.name, "transformation": name, "summary": summary, "of": source.name}
        write_json(work / "new" / "metadata.json", {**about, "left_out": left_out})
    more = f"; {left_out:,} left out, whose responses became equal" if left_out else ""
    return f"{' and '.join(words)} examples{more}"
