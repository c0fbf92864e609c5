"""The number format in which a step runs its model, worked out without torch, which takes seconds to load.

It follows `genies.lm.model.chosen_dtype`: `auto` is float32 on a CPU, and bfloat16 on a GPU that has it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HALF = frozenset({"bfloat16", "float16"})
"""Formats in which the sums of a forward pass depend on its size, and so scores on `batch_tokens`."""

_BFLOAT16_CAPABILITY = 8.0
"""CUDA compute capability from which GPUs multiply in bfloat16 (NVIDIA Ampere)."""


@dataclass(frozen=True)
class Hardware:
    """What steps run on, as far as it is known before they start."""

    gpu: bool | None
    """Whether a step sees a GPU; None where that is unknown."""
    gpu_dtype: str | None = None
    """What `auto` stands for on that GPU; None where that is unknown."""

    def dtype(self, kwargs: Mapping[str, Any]) -> str | None:
        """The number format of a step with these arguments; None where it cannot be known."""
        given, device = kwargs.get("dtype"), kwargs.get("device")
        if isinstance(given, str) and given != "auto":
            return given
        if device == "cpu" or self.gpu is False:
            return "float32"
        return self.gpu_dtype


UNKNOWN = Hardware(None)
NO_GPU = Hardware(False)


SIGNS_OF_A_GPU = ("dev/nvidia*", "proc/driver/nvidia", "dev/dxg", "dev/nvhost-gpu", "dev/kfd")
"""Files of drivers: NVIDIA's own, its driver under Windows (WSL) and on Jetson boards, and AMD's."""


def gpu_is_there(root: Path = Path("/")) -> bool:
    """Whether a driver for GPUs shows; looked up without torch, which takes seconds to load."""
    return any(next(root.glob(pattern), None) is not None for pattern in SIGNS_OF_A_GPU)


def this_machine(hidden: bool = False) -> Hardware:
    """What a step on this machine sees. `hidden`: no GPU is shown to it."""
    if hidden or not gpu_is_there() or _built_for_cpu():
        return NO_GPU
    return Hardware(True, _auto_dtype(_compute_capabilities()))


def all_hidden(environment: Mapping[str, str]) -> bool:
    """Whether CUDA_VISIBLE_DEVICES leaves no GPU: it is empty, or begins with a number that no GPU has."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.split(",")[0].strip() in ("", "-1")


def _auto_dtype(capabilities: list[float]) -> str | None:
    formats = {"bfloat16" if each >= _BFLOAT16_CAPABILITY else "float32" for each in capabilities}
    return formats.pop() if len(formats) == 1 else None


def _built_for_cpu() -> bool:
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def _compute_capabilities() -> list[float]:
    """The compute capability of each NVIDIA GPU by its driver's tool; empty where the tool does not say."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return [float(line) for line in done.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
