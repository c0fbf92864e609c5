"""The properties of a model that are known without loading its weights: tokenizer, sites, dtype and device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.lm.activations import blocks_of, count_heads, head_input_width
from genies.lm.arguments import ModelArguments
from genies.lm.capability import find_decoder, first_line
from genies.lm.model import (
    causal_class,
    check_weights,
    chosen_device,
    chosen_dtype,
    context_length,
    describe,
    load_tokenizer,
    silence_transformers,
)
from genies.lm.offline import offline
from genies.lm.sites import Site, SiteKind, all_sites


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
    silence_transformers()
    config, decoder = _decoder_without_weights(folder)
    device = chosen_device(arguments.device)
    dtype = chosen_dtype(arguments.dtype, device)
    heads = count_heads(decoder)
    widths = [head_input_width(block) if count else 0 for block, count in zip(blocks_of(decoder), heads, strict=True)]
    return ModelOutline(
        folder,
        load_tokenizer(folder),
        context_length(config),
        len(heads),
        tuple(heads),
        max((width // count for width, count in zip(widths, heads, strict=True) if count), default=0),
        sum(width + config.hidden_size for width in widths) * dtype.itemsize,
        describe(dtype, device, arguments.quantization),
    )


def weights_identity(folder: Path, hashes: FileHashes) -> str:
    """sha256 of the names and contents of a model folder's config and weights."""
    content = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        content.update(f"{path.name}\0{hashes.of(path)}\n".encode())
    return content.hexdigest()


@offline()
def _decoder_without_weights(folder: Path) -> tuple[Any, Any]:
    """The configuration of the text model, and its decoder with weights on the meta device."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            network = causal_class(config).from_config(config)
        return config.get_text_config(), find_decoder(network)
    except Exception as error:  # transformers raises many types for invalid values
        raise InputError(
            f"model folder {folder} contains no decoder that transformers supports: {first_line(error)}"
        ) from None
