"""The train and test splits in which data is published, by the names of its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from genies.errors import InputError

Published = Literal["train", "test", "validation"]

_NAMES: dict[str, Published] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "eval": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
_WORDS = re.compile(r"[a-z]+")


def published_split(file: Path) -> Published | None:
    """The split that a file's name tells, else that of its folder, and so on upwards; None if there is none.

    >>> published_split(Path("helpful-base/test.jsonl.gz")), published_split(Path("data/train_prefs-00000.parquet"))
    ('test', 'train')
    >>> published_split(Path("validation/0.parquet")), published_split(Path("all.jsonl"))
    ('validation', None)
    """
    for part in (file.name, *reversed(file.parent.parts)):
        found = {_NAMES[word] for word in _WORDS.findall(part.lower()) if word in _NAMES}
        if len(found) == 1:
            return found.pop()
    return None


def published_tests(files: Sequence[Path], root: Path) -> tuple[dict[Path, bool], list[Path]]:
    """Whether each file is of the test split, and the files that are left out: validation files next to test files.

    Without a test file, validation files are the test split. Raises InputError for files without a split's name, and
    if there is no test split.
    """
    splits = {file: published_split(file.relative_to(root) if file.is_relative_to(root) else file) for file in files}
    unknown = [file for file, split in splits.items() if split is None]
    if unknown:
        raise InputError(
            f"--keep_splits: the name of {unknown[0]} does not tell its split; expected train, test or validation in "
            "the names of the files or of their folders"
        )
    test: Published = "test" if "test" in splits.values() else "validation"
    if test not in splits.values():
        raise InputError(
            f"--keep_splits: {root} has no test or validation file; leave the argument out, and prompts are split by "
            "their hash"
        )
    left_out = [file for file, split in splits.items() if split not in ("train", test)]
    return {file: split == test for file, split in splits.items() if file not in left_out}, left_out
