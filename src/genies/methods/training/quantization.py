"""Load the base model of a training intervention: on one device, on all GPUs, to be divided, or in 4 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed import get_world_size, is_initialized

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import LanguageModel, chosen_device, chosen_dtype, load_model
from genies.lm.placement import check_quantization


def load_base_model(folder: Path, arguments: ModelArguments, in_4bit: bool) -> LanguageModel:
    """Load the model in `folder`; with `in_4bit` or --quantization nf4, the linear layers of its blocks have 4 bits.

    `in_4bit` is --load_in_4bit, the name of this argument in training interventions. With several processes, the model
    is loaded into main memory, from where it is divided (sharding.py); weights in 4 bits are on each process's GPU.
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
        return _load_to_divide(folder, arguments) if several else load_model(folder, arguments, of_transformers=True)
    asked_by = "--load_in_4bit True" if in_4bit else "--quantization nf4"
    device = chosen_device(arguments.device)
    check_quantization(device, asked_by)
    if arguments.dtype == "float32":
        raise InputError(f"{asked_by} computes in 16 bits; leave out --dtype float32")
    dtype = arguments.dtype
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"
    return load_model(folder, arguments.model_copy(update={"quantization": "nf4", "dtype": dtype}))


def _load_to_divide(folder: Path, arguments: ModelArguments) -> LanguageModel:
    """A model in main memory whose token ids and, once it is divided, whose weights are on the chosen device."""
    device = chosen_device(arguments.device)
    dtype = str(chosen_dtype(arguments.dtype, device)).removeprefix("torch.")
    on_cpu = arguments.model_copy(update={"device": "cpu", "dtype": dtype})
    return replace(load_model(folder, on_cpu, of_transformers=True), device=device)
