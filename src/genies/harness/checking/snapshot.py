"""What lies in folders, so that a change to them is seen."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from genies.files import sha256_of_file
from genies.locks import is_held

Snapshot = dict[Path, str]
"""For each file, folder and link, a text that changes with it."""

_HASHED_BYTES = 1 << 20
"""Larger files, as a base model's, go by size and time of change."""

_NOT_LOOKED_AT = frozenset({"__pycache__", ".git", ".venv"})

_OF_PEOPLE = frozenset({"api", "benchmarks", "examples", "src", "tests"})
"""Folders of a project root that people work on while a check runs."""

_OF_RUNS = ("models", "results")
"""Folders of a project root that a harness at work changes."""


def tree(folder: Path, without: Collection[Path] = ()) -> Snapshot:
    """Everything below a folder but for `without` and what lies there; links are not followed."""
    found: Snapshot = {}
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = [name for name in folders if name not in _NOT_LOOKED_AT and here / name not in without]
        for name in (*folders, *files):
            if here / name not in without:
                found[here / name] = _state(here / name)
    return found


def outline(root: Path) -> Snapshot:
    """What lies in a project root, by size and time of change: nothing hidden, and nothing below folders of code."""
    found: Snapshot = {}
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in (*folders, *(name for name in files if not name.startswith((".", "__")))):
            found[here / name] = _state(here / name, content=False)
        if here == root:
            folders[:] = [name for name in folders if name not in _OF_PEOPLE]
    return found


def at_work(root: Path) -> set[Path]:
    """The folders of a project root in which a harness holds a lock, and changes files."""
    return {root / name for name in _OF_RUNS if any(map(is_held, (root / name / ".locks").glob("*.lock")))}


def differences(before: Snapshot, after: Snapshot, without: Collection[Path] = ()) -> list[str]:
    """A line for each new, changed and deleted entry, with its path, but for those in the folders `without`."""
    return [
        f"{'new' if path not in before else 'deleted' if path not in after else 'changed'}: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path) and not any(path.is_relative_to(folder) for folder in without)
    ]


def _state(path: Path, content: bool = True) -> str:
    try:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        if path.is_dir():
            return "folder"
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"special file {status.st_mode:o}"
        if not content or status.st_size > _HASHED_BYTES:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        return sha256_of_file(path)
    except FileNotFoundError:  # gone since it was listed: another program's
        return "gone"
