"""Placement of models that do not fit on one GPU in 16 bits: on several GPUs, or quantized to 4 bits.

With several GPUs, token ids are on the device of the embedding, and outputs are used on the device where they are
computed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

from genies.errors import InputError
from genies.lm.arguments import ModelArguments


def loading_options(arguments: ModelArguments, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of transformers' from_pretrained for devices and 4 bits; empty for a model on one device.

    Raises InputError for 4 bits without a GPU or without bitsandbytes.
    """
    options: dict[str, Any] = {}
    if arguments.quantization == "nf4":
        check_quantization(device)
        options = {"quantization_config": nf4_config(dtype), "device_map": {"": torch.cuda.current_device()}}
    if arguments.device_map == "auto":
        if device.type == "cuda":
            options["device_map"] = "auto"
        else:
            print("--device_map auto has no effect without a GPU: the model is loaded on the CPU", file=sys.stderr)
    return options


def check_quantization(device: torch.device, asked_by: str = "--quantization nf4") -> None:
    """Raise InputError unless 4-bit weights are possible on `device`; `asked_by` is the argument to name."""
    if device.type != "cuda":
        raise InputError(f"{asked_by} needs a CUDA GPU, but the model runs on the CPU; leave the argument out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"{asked_by} needs the package bitsandbytes: pip install -e '.[gpu]'")


def nf4_config(compute_dtype: torch.dtype) -> Any:
    """NF4 with double quantization (Dettmers et al. 2023): linear layers below the language-model head in 4 bits, their
    scales in 8 bits, products in `compute_dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def check_placement(network: Any, folder: Path) -> None:
    """Raise InputError if device_map left a part of the network in main memory or on disk, from where every forward
    pass would load it."""
    places = getattr(network, "hf_device_map", None) or {}
    outside = [name for name, place in places.items() if str(place) in ("cpu", "disk")]
    if outside and len(outside) < len(places):
        raise too_large(folder)


def too_large(folder: Path) -> InputError:
    """The error for a model that is larger than the memory of all GPUs."""
    return InputError(
        f"the weights in {folder} do not fit into the memory of the GPUs, with --device_map auto; try "
        "--quantization nf4, --dtype bfloat16, more GPUs, or --device cpu"
    )


def input_device(network: Any) -> torch.device:
    """The device of the token ids: that of the embedding."""
    device: torch.device = network.get_input_embeddings().weight.device
    return device
