"""Arguments of every command that runs a language model. Imports no torch."""

from __future__ import annotations

from typing import Literal

from genies.command_line import Arguments


class ModelArguments(Arguments):
    """How the base model is run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; auto is a GPU when there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; auto is float32 on a CPU and bfloat16 on a GPU that has it (float32 otherwise)."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """torch.set_float32_matmul_precision: lower is faster on some machines and moves float32 results a little."""
