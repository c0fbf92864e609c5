"""Log-probabilities of responses under an untuned model, computed once and cached on disk by content."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genies.cache import cache_dir
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.activation_reader import model_key
from genies.lm.arguments import ModelArguments
from genies.lm.model_outline import read_outline
from genies.lm.text import TokenSequence

Compute = Callable[[Sequence[TokenSequence]], NDArray[np.float64]]


class ReferenceScores:
    """Sums of the log-probabilities of responses under the model in a folder.

    The cache is one JSON file per model, from the hash of a text to its sum. It may be deleted at any time. A text that
    two processes compute at the same time is stored by the later one.
    """

    def __init__(self, folder: Path, arguments: ModelArguments, in_4bit: bool = False, accelerator: Any = None) -> None:
        """`in_4bit` is --load_in_4bit.

        accelerator: of several processes that compute together. They use the cache of the main process, because another
        job may write to it while they read.
        """
        key = model_key(read_outline(folder, arguments), arguments) + ("_4bit" if in_4bit else "")
        unused = arguments.no_cache or (accelerator is not None and not accelerator.is_main_process)
        self._path = None if unused else cache_dir(Path.cwd()) / "log_probabilities" / f"{key}.json"
        self._known = self._stored()
        if accelerator is not None and accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            (self._known,) = broadcast_object_list([self._known])

    def __call__(self, sequences: Sequence[TokenSequence], compute: Compute) -> NDArray[np.float64]:
        """The sums [sequences]; `compute` returns them for the texts that are not in the cache."""
        keys = [_key(sequence) for sequence in sequences]
        missing = {key: each for key, each in zip(keys, sequences, strict=True) if key not in self._known}
        if missing:
            found = compute(list(missing.values()))
            self._known.update(zip(missing, map(float, found), strict=True))
            self._store()
        return np.array([self._known[key] for key in keys])

    def _stored(self) -> dict[str, float]:
        try:
            value = read_json(self._path, "cache of log-probabilities") if self._path and self._path.is_file() else {}
        except InputError:
            value = {}  # a damaged cache is written again
        return {key: each for key, each in value.items() if isinstance(each, float)} if isinstance(value, dict) else {}

    def _store(self) -> None:
        if self._path is None:
            return
        finite = {key: each for key, each in self._known.items() if np.isfinite(each)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {**self._stored(), **finite})
        except OSError as error:
            print(f"log-probabilities are not cached: {error.strerror or error} ({self._path})", file=sys.stderr)


def _key(sequence: TokenSequence) -> str:
    numbers = [*sequence.ids, -1, *sequence.response]
    return hashlib.blake2b(np.asarray(numbers, dtype="<i8").tobytes(), digest_size=16).hexdigest()
