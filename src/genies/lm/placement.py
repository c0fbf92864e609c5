"""Where a model's weights lie when one device in plain precision will not do: over several GPUs, or in 4 bits.

The parts of a model that is spread lie on different GPUs. Token ids go to the device of its embedding, and what comes
out is used where it lies.
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
    """What transformers' from_pretrained is to be told of devices and 4 bits; nothing for a model on one device.

    InputError when 4 bits are asked for without a GPU or without bitsandbytes.
    """
    options: dict[str, Any] = {}
    if arguments.quantization == "nf4":
        check_quantization(device)
        options = {"quantization_config": nf4_config(dtype), "device_map": {"": torch.cuda.current_device()}}
    if arguments.device_map == "auto":
        if device.type == "cuda":
            options["device_map"] = "auto"
        else:
            print("--device_map auto has no GPU to spread the model over: it is loaded on the CPU", file=sys.stderr)
    return options


def check_quantization(device: torch.device, asked_by: str = "--quantization nf4") -> None:
    """InputError unless weights can be held in 4 bits here; `asked_by` is what the person wrote."""
    if device.type != "cuda":
        raise InputError(f"{asked_by} needs a CUDA GPU, and the model is to run on the CPU; leave it out here")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"{asked_by} needs the package bitsandbytes: pip install -e '.[gpu]'")


def nf4_config(compute_dtype: torch.dtype) -> Any:
    """Linear layers below the language-model head in 4 bits, their scales in 8, products in `compute_dtype`
    (NF4 with double quantization, Dettmers et al. 2023)."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def check_placement(network: Any, folder: Path) -> None:
    """InputError when a part of a spread network was left in main memory or on the disk, where every forward pass
    would fetch it from."""
    places = getattr(network, "hf_device_map", None) or {}
    outside = [name for name, place in places.items() if str(place) in ("cpu", "disk")]
    if outside and len(outside) < len(places):
        raise too_large(folder)


def too_large(folder: Path) -> InputError:
    """The model is larger than the GPUs' memory."""
    return InputError(
        f"the weights in {folder} do not fit into the memory of the GPUs here, with --device_map auto; try "
        "--quantization nf4, --dtype bfloat16, more GPUs, or --device cpu"
    )


def input_device(network: Any) -> torch.device:
    """Where token ids go: to the embedding."""
    device: torch.device = network.get_input_embeddings().weight.device
    return device
