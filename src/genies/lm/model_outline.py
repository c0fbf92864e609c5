"""What can be known of a model folder without its weights: enough to turn text into ids and to name its sites."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.activation_size import activation_bytes
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.lm.arguments import ModelArguments
from genies.lm.capability import first_line
from genies.lm.model import (
    check_weights,
    chosen_device,
    chosen_dtype,
    context_length,
    describe,
    load_tokenizer,
    silence_transformers,
)


@dataclass(frozen=True)
class ModelOutline:
    """A decoder whose weights need not be in memory."""

    folder: Path
    tokenizer: Any
    context_length: int | None
    """The most tokens of one sequence, None where the model names no limit."""
    depth: int
    """Number of blocks."""
    heads: int
    """Number of attention (query) heads in a block; 0 for a model without attention."""
    text_bytes: int
    """Bytes of one text's activations at all sites."""
    description: dict[str, str]
    """What an evaluation says of the model: its dtype and device."""


def read_outline(folder: Path, arguments: ModelArguments) -> ModelOutline:
    """The outline of the model in `folder`, as genies.lm.model.load_model would load it; InputError as there."""
    check_weights(folder)
    silence_transformers()
    config = _config(folder)
    device = chosen_device(arguments.device)
    dtype = chosen_dtype(arguments.dtype, device)
    return ModelOutline(
        folder,
        load_tokenizer(folder),
        context_length(config),
        config.num_hidden_layers,
        getattr(config, "num_attention_heads", None) or 0,
        _text_bytes(config, dtype.itemsize),
        describe(dtype, device, arguments.quantization),
    )


def weights_identity(folder: Path, hashes: FileHashes) -> str:
    """sha256 over a model folder's config and weights, by name and content."""
    content = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        content.update(f"{path.name}\0{hashes.of(path)}\n".encode())
    return content.hexdigest()


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        return config.get_text_config()
    except Exception as error:  # transformers checks values with errors of many kinds
        raise InputError(f"model folder {folder} is no decoder that transformers knows: {first_line(error)}") from None


def _text_bytes(config: Any, value_bytes: int) -> int:
    # As attributes, so that names a model has of its own (n_layer) are told from the usual ones by transformers.
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "head_dim")
    sizes = {name: getattr(config, name, None) for name in names}
    if not sizes["num_attention_heads"]:
        return int(config.num_hidden_layers * config.hidden_size * value_bytes)  # hidden states alone
    size = activation_bytes(sizes, value_bytes)
    assert size is not None  # the names of above are those it looks for
    return size
