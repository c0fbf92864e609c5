"""Snapshots of folders, to find changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from genies.files import sha256_of_file
from genies.locks import is_held

Snapshot = dict[Path, str]
"""For each file, folder and link, a text that changes if it changes."""

_HASHED_BYTES = 1 << 20
"""Larger files, such as those of a base model, are compared by size and modification time."""

_NOT_LOOKED_AT = frozenset({"__pycache__", ".git", ".venv"})

_OF_PEOPLE = frozenset({"api", "benchmarks", "examples", "src", "tests"})
"""Folders of a project root that a user may edit while a check runs."""

_OF_RUNS = ("models", "results")
"""Folders of a project root that a running harness changes."""


def tree(folder: Path, without: Collection[Path] = ()) -> Snapshot:
    """Everything below a folder, except for `without` and the files there; links are not followed."""
    found: Snapshot = {}
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = [name for name in folders if name not in _NOT_LOOKED_AT and here / name not in without]
        for name in (*folders, *files):
            if here / name not in without:
                found[here / name] = _state(here / name)
    return found


def outline(root: Path) -> Snapshot:
    """The files of a project root by size and modification time, without hidden files and folders of code."""
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
    """The folders of a project root that a running harness changes, because it has a lock there."""
    return {root / name for name in _OF_RUNS if any(map(is_held, (root / name / ".locks").glob("*.lock")))}


def differences(before: Snapshot, after: Snapshot, without: Collection[Path] = ()) -> list[str]:
    """A line for each new, changed and deleted path outside of the folders `without`."""
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
    except FileNotFoundError:  # deleted by another program since it was listed
        return "gone"
