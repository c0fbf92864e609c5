"""Collect examples one by one and write them as a distribution, split by prompt and shuffled."""

from __future__ import annotations

import json
import os
import random
import shutil
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from genies.data.importing.rows import Preference
from genies.errors import InputError
from genies.files import write_json
from genies.locks import alone

Order = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """How examples are divided into train and test. Examples with the same prompt are in the same split."""

    seed: int
    test_share: float
    """Share of the examples in test, between 0 and 1, as closely as the prompts allow."""
    max_train: int | None = None
    """Maximum number of train examples; the first after shuffling are kept. The same for max_test."""
    max_test: int | None = None

    def divide(self, keys: Sequence[int]) -> tuple[Order, Order]:
        """Positions of the train and of the test examples, shuffled.

        keys: one number for each example's prompt. Prompts are selected in the order of their keys, so keys must look
        random. Raises InputError if a split would be empty.
        """
        values = np.asarray(keys, dtype=np.uint64)
        prompts, which, sizes = np.unique(values, return_inverse=True, return_counts=True)
        if len(prompts) < 2:
            raise InputError(f"the data has {len(prompts)} distinct prompts; expected at least 2, to split by prompt")
        wanted = max(1, round(self.test_share * len(values)))
        in_test = np.zeros(len(prompts), dtype=bool)
        taken = 0
        for number, size in enumerate(sizes.tolist()):
            if taken + size <= wanted:
                in_test[number] = True
                taken += size
            if taken == wanted:
                break
        if not taken:  # all prompts have more examples than the share: use the one with the fewest
            in_test[np.argmin(sizes)] = True
        elif in_test.all():
            in_test[np.argmax(sizes)] = False
        order = np.random.default_rng(self.seed).permutation(len(values))
        testing = in_test[which[order]]
        return order[~testing][: self.max_train], order[testing][: self.max_test]


class Spool:
    """Examples in a temporary file, so that only a few bytes of each are in memory.

    most: maximum size in bytes; `add` raises InputError beyond it.
    """

    def __init__(self, file: IO[bytes], seed: int, most: int) -> None:
        self._file = file
        self._most = most
        self._offsets = array("Q")
        self._draw = random.Random(seed)
        self._salt = str(seed).encode()
        self.keys = array("Q")
        """A number for each example's prompt, salted with the seed; equal only for equal prompts."""

    def add(self, row: int, preference: Preference) -> None:
        """Add an example with its responses in random order, because a constant best position would be a leak."""
        prompt, responses, best = preference
        positions = list(range(len(responses)))
        self._draw.shuffle(positions)
        example = {
            "prompt": prompt,
            "responses": {responses[position]: float(position == best) for position in positions},
            "row": row,
        }
        self.keys.append(int.from_bytes(blake2b(prompt.encode(), digest_size=8, key=self._salt[:64]).digest(), "big"))
        line = json.dumps(example, ensure_ascii=False).encode() + b"\n"
        if self._file.tell() + len(line) > self._most:
            raise InputError(
                f"row {row}: the examples take more than {self._most:,} bytes, far more than the data takes on disk; "
                "if the file is correct, convert it to an uncompressed format such as JSONL and import that"
            )
        self._offsets.append(self._file.tell())
        self._file.write(line)

    def prompts(self) -> int:
        """The number of distinct prompts."""
        return len(np.unique(np.asarray(self.keys)))

    def write(self, path: Path, positions: Order) -> dict[str, int]:
        """Write these examples as one JSON list. Returns the number of examples by number of responses."""
        counts: dict[int, int] = {}
        with open(path, "wb") as file:
            file.write(b"[")
            for number, position in enumerate(positions.tolist()):
                self._file.seek(self._offsets[position])
                line = self._file.readline().rstrip(b"\n")
                responses = len(json.loads(line)["responses"])
                counts[responses] = counts.get(responses, 0) + 1
                file.write(b",\n" if number else b"\n")
                file.write(line)
            file.write(b"\n]\n")
            file.flush()
            os.fsync(file.fileno())
        return {str(responses): counts[responses] for responses in sorted(counts)}


@contextmanager
def staged(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A work folder next to `folder`. Its subfolder new/ becomes `folder` at the end, unless an error occurs.

    If a run stops between the two renames, the old content of `folder` is restored, at the latest by the next run.
    Raises InputError if `folder` exists without `overwrite`, or is not a distribution.
    """
    parent = folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--output_dir {folder}: {parent} is not a folder") from None
    work = parent / f".{folder.name}.import"
    with alone(parent / f".{folder.name}.import.lock", f"another import is writing {folder}; wait for it to end"):
        try:
            _clear(work, folder)
            _check_free(folder, overwrite)
            (work / "new").mkdir(parents=True)
            yield work
            _check_free(folder, overwrite)
            if folder.exists():
                folder.rename(work / "old")
            (work / "new").rename(folder)
        finally:
            _clear(work, folder)


def _clear(work: Path, folder: Path) -> None:
    if (work / "old").is_dir() and not folder.exists():
        (work / "old").rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"--output_dir {folder} is not a folder; expected the name of a new folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("train.json", "test.json")):
        raise InputError(f"--output_dir {folder} contains something other than a distribution; choose a new folder")
    if not overwrite:
        raise InputError(f"--output_dir {folder} exists; choose a new folder, or replace it with --overwrite True")


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write metadata.json, the last of the three files."""
    write_json(folder / "metadata.json", metadata)
