"""What lies in folders, so that a change to them is seen."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from genies.files import sha256_of_file

Snapshot = dict[Path, str]
"""For each file, folder and link, a text that changes with it."""

_HASHED_BYTES = 1 << 20
"""Larger files, as a base model's, go by size and time of change."""

_NOT_LOOKED_AT = frozenset({"__pycache__", ".git", ".venv"})


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


def top(folder: Path) -> Snapshot:
    """What lies right in a folder, hidden entries left out; a folder in it counts as there, whatever it holds."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
    return {entry: "folder" if entry.is_dir() else _state(entry) for entry in entries}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """A line for each new, changed and deleted entry, with its path."""
    return [
        f"{'new' if path not in before else 'deleted' if path not in after else 'changed'}: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _state(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        if path.is_dir():
            return "folder"
        status = path.stat()
        if status.st_size > _HASHED_BYTES:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        return sha256_of_file(path)
    except FileNotFoundError:  # gone since it was listed: another program's
        return "gone"
