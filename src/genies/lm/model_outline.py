"""What can be known of a model folder without its weights: enough to turn text into ids and to name its sites."""

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
    """A decoder whose weights need not be in memory."""

    folder: Path
    tokenizer: Any
    context_length: int | None
    """The most tokens of one sequence, None where the model names no limit."""
    depth: int
    """Number of blocks."""
    heads: tuple[int, ...]
    """Number of attention (query) heads in each block; 0 in blocks without attention."""
    head_width: int
    """Width of the widest head; 0 for a model without attention."""
    text_bytes: int
    """Bytes of one text's activations at all sites."""
    description: dict[str, str]
    """What an evaluation says of the model: its dtype and device."""

    def sites(self, kind: SiteKind) -> list[Site]:
        """Every attention head of the model, or every block, in order."""
        return all_sites(self.depth, self.heads, kind)


def read_outline(folder: Path, arguments: ModelArguments) -> ModelOutline:
    """The outline of the model in `folder`, as genies.lm.model.load_model would load it; InputError as there."""
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
    """sha256 over a model folder's config and weights, by name and content."""
    content = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        content.update(f"{path.name}\0{hashes.of(path)}\n".encode())
    return content.hexdigest()


@offline()
def _decoder_without_weights(folder: Path) -> tuple[Any, Any]:
    """The configuration of the text model, and its decoder with weights that hold no values."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            network = causal_class(config).from_config(config)
        return config.get_text_config(), find_decoder(network)
    except Exception as error:  # transformers checks values with errors of many kinds
        raise InputError(f"model folder {folder} is no decoder that transformers knows: {first_line(error)}") from None
