"""Hashes of the contents of folders: those of a model and of a distribution."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from genies.errors import InputError
from genies.file_hashes import FileHashes

TRAINING_RECORD = "training_step.json"
"""In a tuned model's folder: its parts, its fingerprint, the hash of the files and their provenance."""

_DOCUMENTATION = {".md", ".rst", ".log"}
_RECORDS = frozenset({TRAINING_RECORD, "genies_download.json", "training_log.jsonl"})
"""Records of how a model was made, which contain times and do not affect the model."""


def model_content(hashes: FileHashes, folder: Path) -> str | None:
    """Hash of a model folder's files by relative name and content, without documentation and records; None without a
    folder."""
    if not folder.is_dir():
        return None
    paths = [
        path for path in files_below(folder) if path.suffix.lower() not in _DOCUMENTATION and path.name not in _RECORDS
    ]
    return combined(hashes, folder, paths)


def distribution_identity(hashes: FileHashes, folder: Path) -> str | None:
    """Hash of train.json and test.json; None without the folder.

    Both count in training and in evaluation, because an intervention can read either. metadata.json does not count.
    """
    paths = [path for path in (folder / "train.json", folder / "test.json") if path.is_file()]
    return combined(hashes, folder, paths) if paths else None


MOST_FILES = 20_000
"""Limit for the folder of a model or an intervention; more are probably reached through a link."""


def files_below(folder: Path) -> list[Path]:
    """Regular files below a folder in a fixed order, without hidden files and Python's caches.

    Links are followed. Raises InputError for a link to a parent of the folder, and for more than MOST_FILES files.
    """
    found = list(itertools.islice(_below(folder), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise InputError(
            f"{folder} contains more than {MOST_FILES:,} files; expected only those of a model or an intervention. "
            f"Check for a link to another folder; the last file read is {found[-1]}"
        )
    return found


def _below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:  # a link back to a parent
        return
    if above and above[0].is_relative_to(here):
        raise InputError(f"{folder} is a link to {here}, a parent of the folder that contains it; remove the link")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _below(path, (*above, here))
        elif path.is_file():
            yield path


def combined(hashes: FileHashes, folder: Path, paths: list[Path]) -> str:
    """Hexadecimal sha256 of the relative names and contents of files below a folder."""
    lines = [f"{path.relative_to(folder).as_posix()}\0{hashes.of(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
