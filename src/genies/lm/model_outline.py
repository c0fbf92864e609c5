"""The properties of a model that are known without loading its weights: tokenizer, sites, dtype and device.

They are derived from a network without weights, which takes seconds of imports, and then stored in the cache folder. A
process that finds them there imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genies.cache import cache_dir
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.files import read_json, write_json
from genies.lm.arguments import ModelArguments
from genies.lm.kept_tokenizer import KeptTokenizer, record_of
from genies.lm.offline import offline
from genies.lm.own_config import own_config
from genies.lm.plausibility import check_weights
from genies.lm.sites import Site, SiteKind, all_sites
from genies.processes.hardware import all_hidden, no_gpu

_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class ModelOutline:
    """A description of a decoder whose weights are not loaded."""

    folder: Path
    tokenizer: Any
    context_length: int | None
    """Maximum number of tokens in a sequence; None if the config sets no limit."""
    depth: int
    """Number of blocks."""
    heads: tuple[int, ...]
    """Number of attention (query) heads in each block; 0 in blocks without attention."""
    head_width: int
    """Width of the widest head; 0 for a model without attention."""
    text_bytes: int
    """Size in bytes of one text's activations at all sites."""
    description: dict[str, str]
    """Dtype, device and, if any, quantization, as in evaluation files."""

    def sites(self, kind: SiteKind) -> list[Site]:
        """Every attention head of the model, or every block, in order."""
        return all_sites(self.depth, self.heads, kind)


def read_outline(folder: Path, arguments: ModelArguments) -> ModelOutline:
    """The outline of the model that genies.lm.model.load_model loads from `folder`; raises the same errors."""
    check_weights(folder)
    description = _description(arguments)
    path = None if arguments.no_cache else cache_dir(Path.cwd()) / "outlines" / f"{_key(folder)}.json"
    shape, tokenizer = (path and _stored(folder, path)) or _derived(folder, path)
    heads, widths = shape["heads"], shape["widths"]
    return ModelOutline(
        folder,
        tokenizer,
        shape["context_length"],
        len(heads),
        tuple(heads),
        max((width // count for width, count in zip(widths, heads, strict=True) if count), default=0),
        sum(width + shape["hidden_size"] for width in widths) * _ITEM_BYTES[description["dtype"]],
        description,
    )


def _description(arguments: ModelArguments) -> dict[str, str]:
    """Dtype, device and quantization of a model with these arguments, without torch where no GPU is there."""
    if arguments.device != "cuda" and arguments.quantization == "none" and no_gpu(all_hidden(os.environ)):
        return {"dtype": "float32" if arguments.dtype == "auto" else arguments.dtype, "device": "cpu"}
    from genies.lm.model import chosen_device, chosen_dtype, describe

    device = chosen_device(arguments.device)
    return describe(chosen_dtype(arguments.dtype, device), device, arguments.quantization)


def _key(folder: Path) -> str:
    """A hash of all that determines a stored outline: the files beside the weights, the libraries, and this package."""
    beside = [path for path in folder.iterdir() if path.is_file() and path.suffix not in _NOT_READ]
    parts: list[str] = [version(package) for package in ("torch", "transformers", "tokenizers")]
    for path in [*sorted(beside), *sorted(Path(__file__).parent.glob("*.py"))]:
        parts += [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


_NOT_READ = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt", ".md")
"""Endings of the files of a model folder that do not determine its outline."""


def _stored(folder: Path, path: Path) -> tuple[dict[str, Any], Any] | None:
    """The shape and the tokenizer in a file of the cache; None if it does not exist or is damaged."""
    try:
        record: Any = read_json(path, "stored outline")
        shape = record["shape"]
        if set(shape) != {"context_length", "heads", "widths", "hidden_size"}:
            return None
        return shape, KeptTokenizer(folder, record["tokenizer"])
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None


def _derived(folder: Path, path: Path | None) -> tuple[dict[str, Any], Any]:
    """The shape and the tokenizer according to transformers. They are stored at `path` if the tokenizer can be."""
    from genies.lm.activations import blocks_of, count_heads, head_input_width
    from genies.lm.model import context_length, load_tokenizer

    config, decoder = _decoder_without_weights(folder)
    heads = count_heads(decoder)
    shape = {
        "context_length": context_length(config),
        "heads": heads,
        "widths": [
            head_input_width(block) if count else 0 for block, count in zip(blocks_of(decoder), heads, strict=True)
        ],
        "hidden_size": config.hidden_size,
    }
    tokenizer = load_tokenizer(folder)
    if path is not None and (record := record_of(tokenizer)) is not None:
        with suppress(OSError, InputError):  # the file only saves time
            write_json(path, {"shape": shape, "tokenizer": record})
    return shape, tokenizer


def weights_identity(folder: Path, hashes: FileHashes) -> str:
    """sha256 of the names and contents of a model folder's config and weights."""
    content = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        content.update(f"{path.name}\0{hashes.of(path)}\n".encode())
    return content.hexdigest()


@offline()
def _decoder_without_weights(folder: Path) -> tuple[Any, Any]:
    """The configuration of the text model, and its decoder with weights on the meta device."""
    from genies.lm.own_network import Decoder

    if (own := own_config(folder)) is not None:
        return own, Decoder(own)

    import torch
    from transformers import AutoConfig

    from genies.lm.capability import find_decoder, first_line
    from genies.lm.model import causal_class, silence_transformers

    silence_transformers()
    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            network = causal_class(config).from_config(config)
        return config.get_text_config(), find_decoder(network)
    except Exception as error:  # transformers raises many types for invalid values
        raise InputError(
            f"model folder {folder} contains no decoder that transformers supports: {first_line(error)}"
        ) from None
