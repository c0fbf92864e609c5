"""Arguments of every command that runs a language model. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genies.command_line import NO_EFFECT, Arguments


class ModelArguments(Arguments):
    """How the base model is run."""

    device: Annotated[Literal["auto", "cpu", "cuda"], NO_EFFECT] = "auto"
    """Where the model runs; auto is a GPU when there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; auto is float32 on a CPU and bfloat16 on a GPU that has it (float32 otherwise)."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """torch.set_float32_matmul_precision: lower is faster on some machines and moves float32 results a little."""
    device_map: Annotated[Literal["none", "auto"], NO_EFFECT] = "none"
    """auto spreads a model that one GPU cannot hold over all there are; not for reward training."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4 holds the weights in 4 bits (Dettmers et al. 2023); needs a GPU and the package bitsandbytes. Not for whole
    reward models."""
    no_cache: Annotated[bool, NO_EFFECT] = False
    """Read activations anew and keep none; the figures are the same."""
    cache_gb: Annotated[float, Field(gt=0, allow_inf_nan=False), NO_EFFECT] = 10.0
    """Disk space for kept activations, 10^9 bytes; the longest unused make room. They are in .cache/genies of
    the checkout, else of the home folder, or where the environment's GENIES_CACHE says."""
