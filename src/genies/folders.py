"""The folders that arguments name."""

from __future__ import annotations

import os.path
from pathlib import Path

from genies.data.shifts import Shift, folders
from genies.errors import InputError
from genies.names import check_name, name_of
from genies.shipped import SHIPPED

_INTERVENTIONS = Path("src", "interventions")


def distribution_folder(item: str, distributions_dir: Path, spare_dir: Path | None = None) -> Path:
    """The folder that `item` names: a path as given, a bare name in `distributions_dir`, else in `spare_dir`."""
    name = name_of(item, "distribution")
    (folder,) = folders([Shift(name, name)], distributions_dir, [item], spare_dir).values()
    return normal(folder)


def normal(path: Path) -> Path:
    """An absolute path without `..`, `.` and trailing slashes. Links are kept, because results are stored by name."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def named_folder(path: Path, argument: str) -> Path:
    """`path` as an absolute path; InputError if it has no name, such as the root folder, or is a file."""
    folder = normal(path)
    if not folder.name:
        raise InputError(
            f"--{argument}: {path} has no folder name; expected a named folder: results are stored by name"
        )
    if folder.is_file():
        raise InputError(f"--{argument}: {path} is a file; expected a folder")
    check_name(folder.name, f"--{argument}", "a model" if argument.endswith("model_dir") else "an intervention")
    return folder


def intervention_folder(path: Path, root: Path, argument: str) -> Path:
    """An intervention's folder: a path from the working directory, else from the project root, or a bare name; else
    one of the project's own interventions, wherever the library is installed."""
    bases = (root, root / _INTERVENTIONS, SHIPPED, SHIPPED / _INTERVENTIONS)
    for candidate in (path, *(base / path for base in bases)):
        if candidate.is_dir():
            return named_folder(candidate, argument)
    return named_folder(path, argument)
