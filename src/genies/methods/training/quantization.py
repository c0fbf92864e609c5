"""Load the base model of a training intervention: on one device, on all GPUs, to be divided, or in 4 bits."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.distributed import get_world_size, is_initialized

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import LanguageModel, chosen_device, load_model
from genies.lm.placement import check_quantization


def load_base_model(folder: Path, arguments: ModelArguments, in_4bit: bool) -> LanguageModel:
    """Load the model in `folder`; with `in_4bit` or --quantization nf4, the linear layers of its blocks have 4 bits.

    `in_4bit` is --load_in_4bit, the name of this argument in training interventions. With several processes, each has a
    part of the model; weights in 4 bits are whole in every process.
    Raises InputError for 4 bits without a GPU, without bitsandbytes or with float32, and for --device_map with several
    processes.
    """
    several = is_initialized() and get_world_size() > 1
    if several and arguments.device_map != "none":
        raise InputError(
            f"--device_map {arguments.device_map} with {get_world_size()} processes: expected one of the two; "
            "--processes_per_step divides the model among the processes, so leave out --device_map"
        )
    if not in_4bit and arguments.quantization == "none":
        if several:
            from genies.lm.divided import load_divided

            return load_divided(folder, arguments)
        return load_model(folder, arguments, of_transformers=True)
    asked_by = "--load_in_4bit True" if in_4bit else "--quantization nf4"
    device = chosen_device(arguments.device)
    check_quantization(device, asked_by)
    if arguments.dtype == "float32":
        raise InputError(f"{asked_by} computes in 16 bits; leave out --dtype float32")
    dtype = arguments.dtype
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"
    return load_model(folder, arguments.model_copy(update={"quantization": "nf4", "dtype": dtype}))
