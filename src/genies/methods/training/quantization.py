"""Base weights in 4 bits (NF4, Dettmers et al. 2023), where there is a GPU for them."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import LanguageModel, load_model


def load_base_model(folder: Path, arguments: ModelArguments, in_4bit: bool) -> LanguageModel:
    """The model in `folder`, with the linear layers of its blocks in 4 bits when asked for.

    Raises InputError when 4 bits are asked for without a GPU or without bitsandbytes.
    """
    if not in_4bit:
        return load_model(folder, arguments)
    if arguments.device == "cpu" or not torch.cuda.is_available():
        raise InputError("--load_in_4bit True needs a CUDA GPU, and torch finds none here; leave it out on a CPU")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError("--load_in_4bit True needs the package bitsandbytes: pip install bitsandbytes")
    if arguments.dtype == "float32":
        raise InputError("--load_in_4bit True computes in 16 bits; leave out --dtype float32")
    dtype = arguments.dtype
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"
    # Weights are read into main memory and quantized on their way to the GPU, which never holds them whole.
    model = load_model(folder, arguments.model_copy(update={"device": "cpu", "dtype": dtype}))
    quantize(model.decoder, model.dtype)
    model.network.is_loaded_in_4bit = True  # by this PEFT chooses adapters for such layers
    device = torch.device("cuda", torch.cuda.current_device())
    return replace(model, network=model.network.to(device), device=device)


def quantize(decoder: Any, compute_dtype: torch.dtype) -> None:
    """Replace every linear layer below `decoder` by one with NF4 weights, quantized when they come to a GPU."""
    bitsandbytes = importlib.import_module("bitsandbytes")
    for module in list(decoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                layer = bitsandbytes.nn.Linear4bit(
                    child.in_features, child.out_features, child.bias is not None, compute_dtype, quant_type="nf4"
                )
                layer.weight = bitsandbytes.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4")
                layer.bias = child.bias
                setattr(module, name, layer)
