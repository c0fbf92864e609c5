"""Which GPU a step is shown, where the user or a batch system already shows only some."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from genies.errors import InputError

VARIABLE = "CUDA_VISIBLE_DEVICES"

_NAMED = re.compile(r"(GPU|MIG)-\S+")
"""A GPU or a part of one by its own identifier, as `nvidia-smi -L` lists them; CUDA takes the beginning of one too."""


def shown_gpus(given: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is for each of the GPUs that a user lists.

    Numbers are places in the CUDA_VISIBLE_DEVICES of `environment`, from 0, as they are for every CUDA program; where
    it is not set, in the machine's own list. Identifiers (GPU-..., MIG-...) stand for themselves. Raises InputError for
    anything else, and for a place that the list does not have.

    >>> shown_gpus(["0", "1", "GPU-8932"], {"CUDA_VISIBLE_DEVICES": "4,MIG-1f"})
    ['4', 'MIG-1f', 'GPU-8932']
    """
    visible = _visible(environment)
    return [_shown(each, visible) for each in given]


def _visible(environment: Mapping[str, str]) -> list[str] | None:
    """The GPUs in CUDA_VISIBLE_DEVICES, of which CUDA ignores all behind the first that is none; None: all."""
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
            f"--gpus {given}: expected the number of a GPU, from 0, or its identifier, GPU-... or MIG-... "
            "(nvidia-smi -L lists them)"
        )
    if visible is None:
        return given
    if int(given) >= len(visible):
        found = f"{len(visible)}: {','.join(visible)}" if visible else "none"
        raise InputError(
            f"--gpus {given}: {VARIABLE} shows {found}; numbers are places in that list, from 0. Give smaller ones, or "
            f"unset {VARIABLE}"
        )
    return visible[int(given)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
