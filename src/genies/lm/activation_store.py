"""Cache of activations on disk, by content: all interventions share the activations of a text.

A model's cache is a folder of segments: safetensors files that are written once and never changed. A segment contains
the activations of some texts at some layers: `keys` [texts, 16], the hash of each text's token ids, and for each layer
[texts, sites of the layer, width] in the number format in which the model computes. A smaller number format would
change results: with half-precision floats, cra loses four points of accuracy, and with 16-bit fixed-point numbers,
other attention heads are chosen if several are equally good.

Segments may be deleted at any time; damaged segments are deleted automatically. Several processes may use one cache. A
text that two of them read at the same time is stored twice, which only costs space. Other files in the folder are left
alone.

Segments are read without torch, which takes longer to import than a step takes to evaluate stored activations.
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from genies.files import write_bytes
from genies.lm.sites import Layer, Site

if TYPE_CHECKING:
    from genies.lm.activations import LayerValues

LayerArrays = dict[Layer, NDArray[np.float32]]
"""For each layer, activations [sequences, sites of the layer, width]. The width is the head width for heads and the
hidden size for blocks, which have one site."""

_KEY_BYTES = 16
_SUFFIX = ".safetensors"
_OURS = re.compile(r"[0-9a-f]{16}\.safetensors|\.[0-9a-f]{16}\.safetensors\.[0-9a-f]{16}\.partial")
_WRITING_SECONDS = 600
"""A partial file older than this was left by a process that no longer runs."""


def text_key(ids: Sequence[int]) -> bytes:
    """The key of a text: a hash of its token ids."""
    return hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=_KEY_BYTES).digest()


class ActivationStore:
    """The activations of one model; `limit` is the maximum total size in bytes of all models' segments in `root`."""

    def __init__(self, root: Path, model_key: str, limit: int) -> None:
        self.root, self.folder, self.limit = root, root / model_key, limit
        self._full = False

    def find(self, keys: Sequence[bytes], layers: Sequence[Layer]) -> Iterator[tuple[list[int], LayerArrays]]:
        """Find texts at all of `layers`: for each segment, indices into `keys` and the activations in that order.

        A text is returned at most once, and only if one segment contains it at all of the layers.
        """
        missing: dict[bytes, int] = {key: index for index, key in enumerate(keys)}
        # Newest first: an older segment of a text may contain fewer layers.
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"), key=_last_use, reverse=True):
            if not missing:
                return
            try:
                with safe_open(path, framework="numpy") as segment:
                    if not all(str(layer) in segment.keys() for layer in layers):  # noqa: SIM118 - not a mapping
                        continue
                    held = {key.tobytes(): row for row, key in enumerate(segment.get_tensor("keys"))}
                    common = [key for key in missing if key in held]
                    if not common:
                        continue
                    rows = [held[key] for key in common]
                    found = {layer: _layer(segment, path, str(layer))[rows].astype(np.float32) for layer in layers}
                    if not all(np.isfinite(each).all() for each in found.values()):
                        raise ValueError("activations that are not finite")
            except OSError:
                continue  # another process deleted the segment, or the disk fails for now
            except (SafetensorError, ValueError, IndexError):
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            _touch(path)
            yield [missing.pop(key) for key in common], found

    def add(self, keys: Sequence[bytes], values: LayerValues) -> None:
        """Write the activations of texts to a new segment. A full disk is reported once and is not an error."""
        import torch
        from safetensors.torch import save

        hashes = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(-1, _KEY_BYTES)
        data = save({"keys": hashes, **{str(layer): each.contiguous() for layer, each in values.items()}})
        if len(data) > self.limit or self._full:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            write_bytes(self.folder / f"{secrets.token_hex(8)}{_SUFFIX}", data)
        except FileNotFoundError:
            return  # another process deleted this segment just now to free space
        except OSError as error:
            self._full = True
            print(
                f"activations are no longer cached: {error.strerror or error} ({self.root}); results do not change, "
                "but later steps are slower",
                file=sys.stderr,
            )

    def _make_room(self, needed: int) -> None:
        """Delete the least recently used segments until `needed` more bytes are within the limit."""
        known = []
        for path in self.root.glob("*/*"):  # includes partial files of killed processes, which take space, too
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


def _layer(segment: Any, path: Path, name: str) -> NDArray[Any]:
    """The activations of a layer in a segment. numpy has no bfloat16, so such layers are read with torch."""
    if segment.get_slice(name).get_dtype() != "BF16":
        values: NDArray[Any] = segment.get_tensor(name)
        return values
    with safe_open(path, framework="pt") as again:
        wide: NDArray[Any] = again.get_tensor(name).float().numpy()
    return wide


def at_sites(values: Mapping[Layer, NDArray[np.float32]], sites: Sequence[Site], width: int = 0) -> NDArray[np.float32]:
    """Select activations [sequences, sites, width] from those of whole layers; all sites must be of one kind.

    Heads narrower than the widest site, or than `width`, are padded with zeros: in some models (Gemma 4), the width of
    the heads differs between blocks. Zeros change no cosine and no dot product.
    """
    if len({site.layer.kind for site in sites}) != 1:
        raise ValueError("expected sites of one kind: heads and blocks cannot be read into one array")
    parts = [values[site.layer][:, site.head or 0] for site in sites]
    widest = max(width, *(part.shape[-1] for part in parts))
    return np.stack([np.pad(part, ((0, 0), (0, widest - part.shape[-1]))) for part in parts], 1)


def _last_use(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _touch(path: Path) -> None:
    """Set the time of last use of a segment. If this fails, the segment only seems older than it is."""
    with contextlib.suppress(OSError):
        os.utime(path)
