"""Examples collected one by one and written as a distribution: split by prompt, shuffled, whole or not at all."""

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
    """How examples are divided; all that have one prompt go to the same side."""

    seed: int
    test_share: float
    """Of the examples, between 0 and 1; met as nearly as the prompts allow."""
    max_train: int | None = None
    """Examples kept of the train split, and of the test split: the first after shuffling."""
    max_test: int | None = None

    def divide(self, keys: Sequence[int]) -> tuple[Order, Order]:
        """Positions of the train and of the test examples, shuffled; keys: one number for each example's prompt.

        Prompts are drawn in the order of their keys, which must therefore look random. Raises InputError when
        a side would be empty.
        """
        values = np.asarray(keys, dtype=np.uint64)
        prompts, which, sizes = np.unique(values, return_inverse=True, return_counts=True)
        if len(prompts) < 2:
            raise InputError(f"the data has {len(prompts)} distinct prompts; at least 2 are needed to split by prompt")
        wanted = max(1, round(self.test_share * len(values)))
        in_test = np.zeros(len(prompts), dtype=bool)
        taken = 0
        for number, size in enumerate(sizes.tolist()):
            if taken + size <= wanted:
                in_test[number] = True
                taken += size
            if taken == wanted:
                break
        if not taken:  # every prompt has more examples than the share: the rarest one
            in_test[np.argmin(sizes)] = True
        elif in_test.all():
            in_test[np.argmax(sizes)] = False
        order = np.random.default_rng(self.seed).permutation(len(values))
        testing = in_test[which[order]]
        return order[~testing][: self.max_train], order[testing][: self.max_test]


class Spool:
    """Examples on disk as they come, so that only a few bytes of each stay in memory.

    most: bytes they may take; `add` raises InputError for one more.
    """

    def __init__(self, file: IO[bytes], seed: int, most: int) -> None:
        self._file = file
        self._most = most
        self._offsets = array("Q")
        self._draw = random.Random(seed)
        self._salt = str(seed).encode()
        self.keys = array("Q")
        """A number for each example's prompt, salted with the seed; the same only for the same prompt."""

    def add(self, row: int, preference: Preference) -> None:
        """Keep an example, its responses in random order: a best response that always comes first is a leak."""
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
                f"row {row}: the examples take more than {self._most:,} bytes, out of all proportion to the data's "
                "size on disk; if the file is what it should be, unpack it (as JSONL, say) and import that"
            )
        self._offsets.append(self._file.tell())
        self._file.write(line)

    def prompts(self) -> int:
        """How many distinct prompts there are."""
        return len(np.unique(np.asarray(self.keys)))

    def write(self, path: Path, positions: Order) -> dict[str, int]:
        """Write these examples as one list of JSON; returns how many have how many responses."""
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
    """A work folder beside `folder`; what lies under new/ in it becomes `folder` at the end, unless an error comes.

    The old content of `folder` is put back when a run stops between the two renames, at once or by the next run.
    Raises InputError when `folder` is there without `overwrite`, or is no distribution.
    """
    parent = folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--output_dir {folder}: {parent} is no folder") from None
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
        raise InputError(f"--output_dir {folder} is there and no folder; expected the name of a new one")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("train.json", "test.json")):
        raise InputError(f"--output_dir {folder} holds something else than a distribution; name a new folder")
    if not overwrite:
        raise InputError(f"--output_dir {folder} is there; name a new folder, or replace it with --overwrite True")


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """metadata.json, the last of the three files."""
    write_json(folder / "metadata.json", metadata)
