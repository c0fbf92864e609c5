"""Last-token activations of texts, each read once: kept ones come from the store, the others from the model.

A forward pass comes by every layer, so that whoever reads one layer keeps them all, when they fit: what one
intervention reads is there for the next, whichever sites that one wants. The model is loaded when the first text is
missing; with everything in the store it stays on the disk.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import genies
from genies.cache import cache_dir
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.lm.activation_store import ActivationStore, text_key
from genies.lm.activations import LayerValues, at_sites, read_layers, readable_layers
from genies.lm.arguments import ModelArguments
from genies.lm.model import LanguageModel, load_model
from genies.lm.model_outline import ModelOutline, read_outline, weights_identity
from genies.lm.sites import Layer, Site

Ids = tuple[int, ...]
Found = dict[Ids, NDArray[np.float32]]
"""Activations [sites, width] of texts, by their token ids."""

SEGMENT_BYTES = 2**26
"""Texts are kept when their activations are this many bytes: what a killed process loses, and holds in memory."""


class ActivationReader:
    """Reads a model's last-token activations, with a store or without."""

    def __init__(self, folder: Path, arguments: ModelArguments, batch_tokens: int | None = None) -> None:
        self.outline = read_outline(folder, arguments)
        self.forward_tokens = 0
        """Tokens that went through the model so far."""
        self.texts_read = 0
        self.texts_kept = 0
        """Texts that were read from the model, and texts that came from the store."""
        self._arguments, self._batch_tokens = arguments, batch_tokens
        self._store = None if arguments.no_cache else open_store(self.outline, arguments)

    @cached_property
    def model(self) -> LanguageModel:
        """The model itself, loaded when first asked for."""
        return load_model(self.outline.folder, self._arguments)

    def __call__(
        self, sequences: Sequence[Sequence[int]], sites: Sequence[Site], also: Sequence[Sequence[int]] = ()
    ) -> NDArray[np.float32]:
        """Activations [sequences, sites, width] at the last token of each sequence; the sites are of one kind.

        `also` are sequences that extend or begin those of the request by a token or so, which another reader of the
        same texts will want: when the model has to run anyway, they are stored as well, for the tokens that they add.
        Raises InputError for activations that are no numbers.
        """
        unique = list(dict.fromkeys(tuple(sequence) for sequence in sequences))
        layers = sorted({site.layer for site in sites})
        found = self._find(unique, layers, sites)
        missing = [ids for ids in unique if ids not in found]
        self.texts_kept += len(found)
        self.texts_read += len(missing)
        if missing:
            self._read(missing, layers, sites, found, self._worth_reading(missing, layers, sites, also))
        return np.stack([found[tuple(sequence)] for sequence in sequences])

    def _find(self, texts: Sequence[Ids], layers: Sequence[Layer], sites: Sequence[Site]) -> Found:
        """What the store holds of the texts."""
        found: Found = {}
        if self._store is not None:
            for indices, kept in self._store.find([text_key(ids) for ids in texts], layers):
                found.update(zip((texts[index] for index in indices), self._at_sites(kept, sites), strict=True))
        return found

    def _worth_reading(
        self, missing: Sequence[Ids], layers: Sequence[Layer], sites: Sequence[Site], also: Sequence[Sequence[int]]
    ) -> list[Ids]:
        """Those of `also` that the store lacks; none where it has no room, or each would be a row of its own."""
        if self._store is None or not also or not self.model.packs:
            return []
        wanted = set(missing)
        more = [ids for ids in dict.fromkeys(tuple(sequence) for sequence in also) if ids not in wanted]
        kept = self._find(more, layers, sites)
        more = [ids for ids in more if ids not in kept]
        return more if self._has_room(len(missing) + len(more)) else []

    def _read(
        self, missing: list[Ids], layers: Sequence[Layer], sites: Sequence[Site], found: Found, more: list[Ids]
    ) -> None:
        """Read the missing texts into `found`, and keep them and `more`."""
        waiting = _Waiting(self._store)
        texts = [*missing, *more]

        def keep(indices: list[int], values: LayerValues) -> None:
            if not all(each.isfinite().all() for each in values.values()):
                raise InputError("the model gave activations that are not numbers; try --dtype float32")
            found.update(zip((texts[index] for index in indices), self._at_sites(values, sites), strict=True))
            waiting.add([text_key(texts[index]) for index in indices], values)

        try:
            self.forward_tokens += read_layers(
                self.model,
                texts,
                self._kept_layers(layers, len(texts)),
                keep,
                self._batch_tokens,
            )
        finally:
            waiting.store()  # what was read before a fault or Ctrl-C is read once as well

    def _at_sites(self, values: LayerValues, sites: Sequence[Site]) -> NDArray[np.float32]:
        # Of one width for all heads of the model, whichever of them are read.
        return at_sites(values, sites, 0 if sites[0].head is None else self.outline.head_width)

    def _kept_layers(self, wanted: Sequence[Layer], texts: int) -> Sequence[Layer]:
        """Every layer, when those of so many texts take at most half of the store; else the wanted ones."""
        if not self._has_room(texts):
            return wanted
        return sorted({*readable_layers(self.model), *wanted}, key=lambda layer: (layer.block, layer.kind))

    def _has_room(self, texts: int) -> bool:
        """Whether every layer of so many texts takes at most half of the store."""
        return self._store is not None and texts * self.outline.text_bytes <= self._store.limit // 2

    def report(self) -> None:
        """Say on standard error where the activations came from."""
        print(
            f"activations: {self.texts_kept} texts from the store, {self.texts_read} read in forward passes of "
            f"{self.forward_tokens} tokens",
            file=sys.stderr,
        )


class _Waiting:
    """Texts that were read and are not kept yet."""

    def __init__(self, store: ActivationStore | None) -> None:
        self._store = store
        self._keys: list[bytes] = []
        self._values: list[LayerValues] = []
        self._bytes = 0

    def add(self, keys: list[bytes], values: LayerValues) -> None:
        if self._store is None:
            return
        self._keys += keys
        self._values.append(values)
        self._bytes += sum(each.nbytes for each in values.values())
        if self._bytes >= SEGMENT_BYTES:
            self.store()

    def store(self) -> None:
        if self._store is None or not self._keys:
            return
        joined = {layer: torch.cat([values[layer] for values in self._values]) for layer in self._values[0]}
        self._store.add(self._keys, joined)
        self._keys, self._values, self._bytes = [], [], 0


def open_store(outline: ModelOutline, arguments: ModelArguments) -> ActivationStore:
    """The store of a model as it is run: whatever moves its activations by more than rounding is in its name."""
    cache = cache_dir(Path.cwd())  # steps run in the project's root
    hashes = FileHashes(cache / "file_hashes.json")
    parts = {
        "weights": weights_identity(outline.folder, hashes),
        "numerics_version": genies.NUMERICS_VERSION,
        "matmul_precision": arguments.matmul_precision,
        **outline.description,
        **{package: version(package) for package in ("torch", "transformers")},
    }
    hashes.save()
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return ActivationStore(cache / "activations", key, int(arguments.cache_gb * 10**9))
