"""The number format in which a job runs its model, and the memory that it gets, found without importing torch.

It follows `genies.lm.model.chosen_dtype`: `auto` is float32 on a CPU, and bfloat16 on a GPU that supports it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HALF = frozenset({"bfloat16", "float16"})
"""Formats in which sums depend on the size of a forward pass, so that scores depend on `batch_tokens`."""

_BFLOAT16_CAPABILITY = 8.0
"""Lowest CUDA compute capability with bfloat16 arithmetic (NVIDIA Ampere)."""

_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the memory limit of this process's control group in a container."""


@dataclass(frozen=True)
class Hardware:
    """The hardware of jobs, as far as it is known before they start."""

    gpu: bool | None
    """Whether a job sees a GPU; None if unknown."""
    gpu_dtype: str | None = None
    """The format that `auto` means on that GPU; None if unknown."""

    def dtype(self, kwargs: Mapping[str, Any]) -> str | None:
        """The number format of a job with these arguments; None if unknown."""
        given, device = kwargs.get("dtype"), kwargs.get("device")
        if isinstance(given, str) and given != "auto":
            return given
        if device == "cpu" or self.gpu is False:
            return "float32"
        return self.gpu_dtype


UNKNOWN = Hardware(None)
NO_GPU = Hardware(False)


SIGNS_OF_A_GPU = ("dev/nvidia*", "proc/driver/nvidia", "dev/dxg", "dev/nvhost-gpu", "dev/kfd")
"""Files of GPU drivers: NVIDIA on Linux, under Windows (WSL) and on Jetson boards, and AMD."""


def gpu_is_there(root: Path = Path("/")) -> bool:
    """Whether a GPU driver is present."""
    return any(next(root.glob(pattern), None) is not None for pattern in SIGNS_OF_A_GPU)


def no_gpu(hidden: bool = False) -> bool:
    """Whether it is certain, without torch, that torch finds no GPU. `hidden`: all GPUs are."""
    return hidden or not gpu_is_there() or _built_for_cpu()


def this_machine(hidden: bool = False) -> Hardware:
    """The hardware that a job on this machine sees. `hidden`: it sees no GPU."""
    if no_gpu(hidden):
        return NO_GPU
    return Hardware(True, _auto_dtype(_compute_capabilities()))


def all_hidden(environment: Mapping[str, str]) -> bool:
    """Whether CUDA_VISIBLE_DEVICES hides all GPUs: it is empty or starts with -1."""
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


def main_memory() -> int | None:
    """Bytes of main memory that processes of this one can use: the machine's, or the limit of the control group."""
    limits = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _GROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # absent, or "max"
            limits.append(int(path.read_text(encoding="ascii")))
    return min(limits, default=None)


def gpu_memory() -> int | None:
    """Bytes of memory of the smallest NVIDIA GPU; None if nvidia-smi does not report it."""
    sizes = _queried("memory.total")  # in MiB
    return int(min(sizes)) * 2**20 if sizes else None


def _compute_capabilities() -> list[float]:
    """The compute capability of each NVIDIA GPU; empty if nvidia-smi does not report them."""
    return _queried("compute_cap")


def _queried(name: str) -> list[float]:
    """A property of each NVIDIA GPU from nvidia-smi; empty if it does not report it."""
    command = ["nvidia-smi", f"--query-gpu={name}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return [float(line) for line in done.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
