"""Activations kept on disk by content: a text read once for one intervention is there for all.

The store is a folder a model, filled with segments, safetensors files that are written once and never changed. A
segment holds some texts' activations at some layers: `keys` [texts, 16], the hash of each text's token ids, and for
each layer [texts, sites of the layer, width] in the number format in which the model computes. Rounding further is no
way to save space: with half-precision floats cra loses four points of accuracy, and with 16-bit fixed-point numbers
other attention heads are chosen where several are equally good.

Nothing depends on a segment being there: any of them may be deleted at any time, and a damaged one is. Several
processes may use one store; a text that two of them read at the same moment is kept twice, which costs space and
nothing else. Files of other names in the folder are none of the store's business and stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from genies.files import write_bytes
from genies.lm.activations import LayerValues
from genies.lm.sites import Layer

_KEY_BYTES = 16
_SUFFIX = ".safetensors"
_OURS = re.compile(r"[0-9a-f]{16}\.safetensors|\.[0-9a-f]{16}\.safetensors\.[0-9a-f]{16}\.partial")
_WRITING_SECONDS = 600
"""A file half-written for longer was left by a process that is gone."""


def text_key(ids: Sequence[int]) -> bytes:
    """What a text is known by: a hash of its token ids."""
    return hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=_KEY_BYTES).digest()


class ActivationStore:
    """The activations of one model; `limit` bounds the bytes of all models' segments under `root` together."""

    def __init__(self, root: Path, model_key: str, limit: int) -> None:
        self.root, self.folder, self.limit = root, root / model_key, limit
        self._full = False

    def find(self, keys: Sequence[bytes], layers: Sequence[Layer]) -> Iterator[tuple[list[int], LayerValues]]:
        """What is kept of texts at all of `layers`: indices into `keys`, and activations in that order, a segment each.

        A text comes at most once, and not at all when no segment holds it at all of the layers.
        """
        missing: dict[bytes, int] = {key: index for index, key in enumerate(keys)}
        # The newest first: an older segment of a text may hold fewer layers.
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"), key=_last_use, reverse=True):
            if not missing:
                return
            try:
                with safe_open(path, framework="pt") as segment:
                    if not all(str(layer) in segment.keys() for layer in layers):  # noqa: SIM118 - no mapping
                        continue
                    held = {key.tobytes(): row for row, key in enumerate(segment.get_tensor("keys").numpy())}
                    common = [key for key in missing if key in held]
                    if not common:
                        continue
                    rows = [held[key] for key in common]
                    found = {layer: segment.get_tensor(str(layer))[rows] for layer in layers}
                    if not all(each.isfinite().all() for each in found.values()):
                        raise ValueError("activations that are not numbers")
            except OSError:
                continue  # another process made room, or the disk fails for now
            except (SafetensorError, ValueError, IndexError):
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            _touch(path)
            yield [missing.pop(key) for key in common], found

    def add(self, keys: Sequence[bytes], values: LayerValues) -> None:
        """Keep texts' activations in a segment of their own. A disk that is full is told of once and harms nothing."""
        hashes = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(-1, _KEY_BYTES)
        data = save({"keys": hashes, **{str(layer): each.contiguous() for layer, each in values.items()}})
        if len(data) > self.limit or self._full:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            write_bytes(self.folder / f"{secrets.token_hex(8)}{_SUFFIX}", data)
        except FileNotFoundError:
            return  # another process made room just now, and took this segment for an old one
        except OSError as error:
            self._full = True
            print(f"activations are no longer kept: {error.strerror or error} ({self.root})", file=sys.stderr)

    def _make_room(self, needed: int) -> None:
        """Delete what was not used for longest, until `needed` bytes more are within the limit."""
        known = []
        for path in self.root.glob("*/*"):  # what a killed process left half-written takes room as well
            if not _OURS.fullmatch(path.name):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            being_written = path.name.startswith(".") and time.time() - status.st_mtime < _WRITING_SECONDS
            if stat.S_ISREG(status.st_mode) and not being_written:
                known.append((status.st_mtime_ns, path, status.st_size))
        total = needed + sum(size for _, _, size in known)
        for _, path, size in sorted(known):
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _touch(path: Path) -> None:
    """Say that a segment was used; where that cannot be said, it is taken for older than it is."""
    with contextlib.suppress(OSError):
        os.utime(path)
