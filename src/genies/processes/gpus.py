"""The GPUs that a job sees, also if the user or a batch system has already restricted the visible GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from genies.errors import InputError

VARIABLE = "CUDA_VISIBLE_DEVICES"

_NAMED = re.compile(r"(GPU|MIG)-\S+")
"""Identifier of a GPU or a part of one, as `nvidia-smi -L` lists them; CUDA also accepts a unique prefix."""


def shown_gpus(given: Sequence[str], environment: Mapping[str, str], each: int = 1) -> list[str]:
    """The values of CUDA_VISIBLE_DEVICES with which the GPUs that a user lists are divided among jobs, `each` to a job.

    GPUs that are left over, fewer than `each`, are not used.

    Numbers are positions, from 0, in the CUDA_VISIBLE_DEVICES of `environment`, as for every CUDA program; if it is not
    set, in the machine's list. Identifiers (GPU-..., MIG-...) are returned as they are. Raises InputError for anything
    else and for a position beyond the list.

    >>> shown_gpus(["0", "1", "GPU-8932"], {"CUDA_VISIBLE_DEVICES": "4,MIG-1f"})
    ['4', 'MIG-1f', 'GPU-8932']
    >>> shown_gpus(["0", "1", "2", "3"], {}, each=2)
    ['0,1', '2,3']
    """
    visible = _visible(environment)
    shown = [_shown(gpu, visible) for gpu in given]
    return [",".join(shown[start : start + each]) for start in range(0, len(shown) - each + 1, each)]


def _visible(environment: Mapping[str, str]) -> list[str] | None:
    """The GPUs in CUDA_VISIBLE_DEVICES; CUDA ignores the first invalid entry and all after it. None: all GPUs."""
    text = environment.get(VARIABLE)
    if text is None:
        return None
    visible = []
    for each in (part.strip() for part in text.split(",")):
        if not (_is_number(each) or _NAMED.fullmatch(each)):
            break
        visible.append(each)
    return visible


def _shown(given: str, visible: list[str] | None) -> str:
    if _NAMED.fullmatch(given):
        return given
    if not _is_number(given):
        raise InputError(
            f"--gpus {given}: expected the number of a GPU, from 0, or its identifier, GPU-... or MIG-..., "
            "as nvidia-smi -L lists them"
        )
    if visible is None:
        return given
    if int(given) >= len(visible):
        found = f"{len(visible)}: {','.join(visible)}" if visible else "none"
        raise InputError(
            f"--gpus {given}: {VARIABLE} contains {found}, and numbers are positions in that list, from 0. Use smaller "
            f"numbers, or unset {VARIABLE}"
        )
    return visible[int(given)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
