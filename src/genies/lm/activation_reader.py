"""Read last-token activations of texts, from the activation cache if possible, else with the model.

Each forward pass stores the activations of all layers, if they fit into the cache, so that later interventions find
them whichever sites they read. The model is loaded, and torch imported, only if a text is missing in the cache.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import genies
from genies.cache import cache_dir
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.lm.activation_store import ActivationStore, LayerArrays, at_sites, text_key
from genies.lm.arguments import ModelArguments
from genies.lm.model_outline import ModelOutline, read_outline, weights_identity
from genies.lm.sites import Layer, Site

if TYPE_CHECKING:
    from genies.lm.activations import LayerValues
    from genies.lm.model import LanguageModel

Ids = tuple[int, ...]
Found = dict[Ids, NDArray[np.float32]]
"""Activations [sites, width] of texts, by their token ids."""

SEGMENT_BYTES = 2**26
"""Activations are written to the cache when they reach this size: the most that a killed process can lose."""


class ActivationReader:
    """Reads a model's last-token activations, with or without a cache."""

    def __init__(self, folder: Path, arguments: ModelArguments, batch_tokens: int | None = None) -> None:
        self.outline = read_outline(folder, arguments)
        self.forward_tokens = 0
        """Number of tokens in forward passes so far."""
        self.texts_read = 0
        self.texts_kept = 0
        """Number of texts read with the model, and number of texts found in the cache."""
        self._arguments, self._batch_tokens = arguments, batch_tokens
        self._store = None if arguments.no_cache else open_store(self.outline, arguments)

    @cached_property
    def model(self) -> LanguageModel:
        """The model, loaded at the first access."""
        from genies.lm.model import load_model

        return load_model(self.outline.folder, self._arguments, self.outline.tokenizer)

    def __call__(
        self, sequences: Sequence[Sequence[int]], sites: Sequence[Site], also: Sequence[Sequence[int]] = ()
    ) -> NDArray[np.float32]:
        """Activations [sequences, sites, width] at the last token of each sequence; all sites must be of one kind.

        `also` are sequences that differ from the requested ones by a few tokens at the end and that other interventions
        read. If the model has to run anyway, their activations are cached, too, which costs only the added tokens.
        Raises InputError for activations that are not finite.
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
        """The cached activations of the texts."""
        found: Found = {}
        if self._store is not None:
            for indices, kept in self._store.find([text_key(ids) for ids in texts], layers):
                found.update(zip((texts[index] for index in indices), self._at_sites(kept, sites), strict=True))
        return found

    def _worth_reading(
        self, missing: Sequence[Ids], layers: Sequence[Layer], sites: Sequence[Site], also: Sequence[Sequence[int]]
    ) -> list[Ids]:
        """The sequences of `also` to read: those not cached; none if they do not fit or cannot be packed."""
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
        """Read the missing texts into `found`, and cache them and `more`."""
        from genies.lm.activations import as_arrays, read_layers

        waiting = _Waiting(self._store)
        texts = [*missing, *more]

        def keep(indices: list[int], values: LayerValues) -> None:
            if not all(each.isfinite().all() for each in values.values()):
                raise InputError(
                    f"the model in {self.outline.folder} returned activations that are not finite; try --dtype float32"
                )
            found.update(
                zip((texts[index] for index in indices), self._at_sites(as_arrays(values, sites), sites), strict=True)
            )
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
            waiting.store()  # keeps what was read before an error or Ctrl-C

    def _at_sites(self, values: LayerArrays, sites: Sequence[Site]) -> NDArray[np.float32]:
        # The same width for all heads of the model, whichever are read.
        return at_sites(values, sites, 0 if sites[0].head is None else self.outline.head_width)

    def _kept_layers(self, wanted: Sequence[Layer], texts: int) -> Sequence[Layer]:
        """The layers to cache for so many texts: every layer if it has room, else the wanted ones."""
        if not self._has_room(texts):
            return wanted
        from genies.lm.activations import readable_layers

        return sorted({*readable_layers(self.model), *wanted}, key=lambda layer: (layer.block, layer.kind))

    def _has_room(self, texts: int) -> bool:
        """Whether the activations of all layers of so many texts take at most half of the cache."""
        return self._store is not None and texts * self.outline.text_bytes <= self._store.limit // 2

    def report(self) -> None:
        """Print to standard error how many texts came from the cache and how many were read with the model."""
        print(
            f"activations: {self.texts_kept} texts from the cache, {self.texts_read} texts from forward passes of "
            f"{self.forward_tokens} tokens",
            file=sys.stderr,
        )


class _Waiting:
    """Texts that were read and are not yet in the cache."""

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
        import torch

        joined = {layer: torch.cat([values[layer] for values in self._values]) for layer in self._values[0]}
        self._store.add(self._keys, joined)
        self._keys, self._values, self._bytes = [], [], 0


def open_store(outline: ModelOutline, arguments: ModelArguments) -> ActivationStore:
    """The store for a model and its arguments."""
    root = cache_dir(Path.cwd()) / "activations"  # steps run in the project's root
    return ActivationStore(root, model_key(outline, arguments), int(arguments.cache_gb * 10**9))


def model_key(outline: ModelOutline, arguments: ModelArguments) -> str:
    """A hash of everything that changes the results of a model's forward passes beyond rounding."""
    hashes = FileHashes(cache_dir(Path.cwd()) / "file_hashes.json")
    parts = {
        "weights": weights_identity(outline.folder, hashes),
        "numerics_version": genies.NUMERICS_VERSION,
        "matmul_precision": arguments.matmul_precision,
        **outline.description,
        **{package: version(package) for package in ("torch", "transformers")},
    }
    hashes.save()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
