"""The base model of a training intervention, its weights in 4 bits when asked for."""

from __future__ import annotations

from pathlib import Path

import torch

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import LanguageModel, chosen_device, load_model
from genies.lm.placement import check_quantization


def load_base_model(folder: Path, arguments: ModelArguments, in_4bit: bool) -> LanguageModel:
    """The model in `folder`, with the linear layers of its blocks in 4 bits when asked for, by `in_4bit`
    (--load_in_4bit, the name that training interventions have for it) or by --quantization nf4.

    Raises InputError when 4 bits are asked for without a GPU, without bitsandbytes or with float32, and for a model
    spread over GPUs: its tuning would need more than placing it.
    """
    if arguments.device_map != "none":
        raise InputError(
            f"--device_map {arguments.device_map} is for interventions that leave the weights alone; a model that is "
            "tuned runs on one GPU: leave it out, and try --load_in_4bit True"
        )
    if not in_4bit and arguments.quantization == "none":
        return load_model(folder, arguments)
    asked_by = "--load_in_4bit True" if in_4bit else "--quantization nf4"
    device = chosen_device(arguments.device)
    check_quantization(device, asked_by)
    if arguments.dtype == "float32":
        raise InputError(f"{asked_by} computes in 16 bits; leave out --dtype float32")
    dtype = arguments.dtype
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"
    return load_model(folder, arguments.model_copy(update={"quantization": "nf4", "dtype": dtype}))
