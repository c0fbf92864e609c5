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

from genies.data.conversation import Prompt, as_json, normalized
from genies.data.importing.rows import Preference
from genies.errors import InputError
from genies.files import write_json
from genies.locks import alone

Order = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """How examples are divided into train and test.

    A prompt's split depends on its hash and the share alone, so that data imported twice, or from two files with common
    prompts, does not have a prompt in the train split of one import and in the test split of the other. The exception
    is data with so few prompts that a split would be empty (see `divide`).
    """

    seed: int
    test_share: float
    """Share of the prompts in test, above 0; 1 puts all of them there."""
    max_train: int | None = None
    """Maximum number of train examples; the first after shuffling are kept. The same for max_test."""
    max_test: int | None = None

    def divide(self, keys: Sequence[int], published: Sequence[int] = ()) -> tuple[Order, Order]:
        """Positions of the train and of the test examples, shuffled.

        keys: prompt_key of each example. published: 1 for each example of the published test split, 0 for the others;
        if given, the examples stay in their splits. Few prompts can all have the same split: then the one nearest to
        the limit is moved to the other. Raises InputError for a single prompt.
        """
        values = np.asarray(keys, dtype=np.uint64)
        order = np.random.default_rng(self.seed).permutation(len(values))
        if len(published):
            testing = np.asarray(published, dtype=bool)[order]
            return order[~testing][: self.max_train], order[testing][: self.max_test]
        if self.test_share == 1:
            return order[:0], order[: self.max_test]
        prompts, which = np.unique(values, return_inverse=True)
        if len(prompts) < 2:
            raise InputError(
                f"the data has {len(prompts)} distinct prompts; expected at least 2, to split by prompt (--test_share "
                "1 makes a distribution without a train split)"
            )
        in_test = prompts < self.test_share * 2.0**64
        in_test[0], in_test[-1] = True, False  # np.unique sorts
        testing = in_test[which[order]]
        return order[~testing][: self.max_train], order[testing][: self.max_test]


def prompt_key(prompt: Prompt) -> int:
    """A hash of a prompt, 64 bits, by which it goes to the train or the test split: the same in every import. Case and
    white space do not count."""
    return int.from_bytes(blake2b(normalized(prompt).encode(), digest_size=8).digest(), "big")


class Spool:
    """Examples in a temporary file, so that only a few bytes of each are in memory.

    most: maximum size in bytes; `add` raises InputError beyond it.
    """

    def __init__(self, file: IO[bytes], seed: int, most: int) -> None:
        self._file = file
        self._most = most
        self._offsets = array("Q")
        self._draw = random.Random(seed)
        self.keys = array("Q")
        """prompt_key of each example's prompt."""
        self.published = array("b")
        """1 for each example of the published test split, 0 for the others; empty if published splits are not kept."""

    def add(self, row: int, preference: Preference, in_test: bool | None = None) -> None:
        """Add an example with its responses in random order, because a constant best position would be a leak."""
        prompt, responses, best, styles, name = preference
        positions = list(range(len(responses)))
        self._draw.shuffle(positions)
        example = {
            "prompt": as_json(prompt),
            "responses": {responses[position]: float(position in best) for position in positions},
            **({} if styles is None else {"styles": [styles[position] for position in positions]}),
            **({} if name is None else {"id": name}),
            "row": row,
        }
        self.keys.append(prompt_key(prompt))
        if in_test is not None:
            self.published.append(in_test)
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

    def in_both(self) -> int:
        """The number of prompts in both published splits."""
        keys, testing = np.asarray(self.keys), np.asarray(self.published, dtype=bool)
        return len(np.intersect1d(keys[testing], keys[~testing])) if testing.size else 0

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


def make_parent(folder: Path) -> Path:
    """The parent of a distribution's folder, made if it does not exist."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--output_dir {folder}: {folder.parent} is not a folder") from None
    return folder.parent


@contextmanager
def staged(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A work folder next to `folder`. Its subfolder new/ becomes `folder` at the end, unless an error occurs.

    If a run stops between the two renames, the old content of `folder` is restored, at the latest by the next run.
    Raises InputError if `folder` exists without `overwrite`, or is not a distribution.
    """
    parent = make_parent(folder)
    work = parent / f".{folder.name}.import"
    with alone(parent / f".{folder.name}.import.lock", f"another import is writing {folder}; wait for it to end"):
        try:
            _clear(work, folder)
            check_free(folder, overwrite)
            (work / "new").mkdir(parents=True)
            yield work
            check_free(folder, overwrite)
            if folder.exists():
                folder.rename(work / "old")
            (work / "new").rename(folder)
        finally:
            _clear(work, folder)


def _clear(work: Path, folder: Path) -> None:
    if (work / "old").is_dir() and not folder.exists():
        (work / "old").rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise InputError if `folder` exists, unless it is empty or a distribution that may be replaced."""
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
