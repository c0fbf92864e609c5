"""Checkpoints from which a killed training continues: folders checkpoint-<step> with safetensors and JSON.

A checkpoint contains the tuned weights, the optimizer's state and the log. It contains no random state, because order
and dropout depend only on the seed and the step. The last two checkpoints are kept, and those of --keep_steps until the
training has ended.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.capability import first_line
from genies.lm.divided import part_of, whole

KEPT = 2
"""Number of checkpoints that are kept; the older one is used if the newest is damaged."""

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""The state of AdamW for each parameter."""

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Progress:
    """The progress of a training."""

    step: int
    """Number of finished steps."""
    log: list[dict[str, Any]]
    """One entry for each finished step."""
    scaler: dict[str, Any]
    """State of the loss scaling; empty unless the dtype is float16."""


def save_checkpoint(
    output_dir: Path,
    progress: Progress,
    mark: str,
    parameters: Mapping[str, Tensor],
    optimizer: Any,
    is_main: bool = True,
    keep: Collection[int] = (),
) -> None:
    """Write checkpoint-<step> atomically and delete old checkpoints except those of the steps in `keep`, in the main
    process; all processes must call it.

    `mark` identifies this training; `parameters` are the tuned weights by name. Divided tensors are written whole, so
    that a training continues with another number of processes.
    """
    weights = _gather(parameters, is_main)
    moments = _gather(
        {
            f"{kind} {name}": tensor
            for name, value in parameters.items()
            for kind, tensor in optimizer.state.get(value, {}).items()
        },
        is_main,
    )
    if not is_main:
        return
    place = output_dir / f"checkpoint-{progress.step}"
    staging = output_dir / f"{place.name}.partial"
    for folder in (staging, place):
        shutil.rmtree(folder, ignore_errors=True)
    staging.mkdir(parents=True)
    save_file(weights, staging / "weights.safetensors")
    save_file(moments, staging / "optimizer.safetensors")
    state = {
        "mark": mark,
        "step": progress.step,
        "scaler": progress.scaler,
        "moments": len(moments),
        "log": progress.log,
    }
    write_json(staging / "state.json", state)
    staging.rename(place)
    kept = {f"checkpoint-{step}" for step in keep}
    for old in _checkpoints(output_dir)[:-KEPT]:
        if old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _gather(tensors: Mapping[str, Tensor], is_main: bool) -> dict[str, Tensor]:
    """The whole tensors, in the main process; one after the other, in main memory."""
    found = {}
    for name, tensor in tensors.items():
        value = whole(tensor.detach())
        if is_main:
            found[name] = value.cpu().contiguous()
    return found


def restore_checkpoint(output_dir: Path, mark: str, parameters: Mapping[str, Tensor], optimizer: Any) -> Progress:
    """Load weights and optimizer state from the newest intact checkpoint of this training; step 0 if there is none."""
    for folder in reversed(_checkpoints(output_dir)):
        try:
            state = read_json(folder / "state.json", "checkpoint")
            if state["mark"] != mark:
                print(f"{folder} is not used: it belongs to a training with other arguments or data", file=sys.stderr)
                continue
            weights = load_file(folder / "weights.safetensors")
            moments = load_file(folder / "optimizer.safetensors")
            _check_tensors(weights, moments, parameters)
            if len(moments) != state["moments"]:
                raise ValueError("the optimizer's state is incomplete")
            progress = Progress(int(state["step"]), list(state["log"]), dict(state["scaler"]))
        except (InputError, OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            print(f"{folder} is not used: it is damaged ({first_line(error)})", file=sys.stderr)
            continue
        _restore(weights, moments, parameters, optimizer)
        return progress
    return Progress(0, [], {})


def load_weights(output_dir: Path, step: int, mark: str, parameters: Mapping[str, Tensor]) -> None:
    """Put the weights after a step into whole parameters.

    Raises InputError if the checkpoint of that step is missing, damaged or of another training.
    """
    folder = output_dir / f"checkpoint-{step}"
    try:
        state = read_json(folder / "state.json", "checkpoint")
        weights = load_file(folder / "weights.safetensors")
        if state["mark"] != mark or weights.keys() != parameters.keys():
            raise ValueError("it belongs to another training")
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(weights[name])
    except (InputError, OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{folder}, which --keep_steps needs, is damaged ({first_line(error)}); delete {output_dir} and train again"
        ) from None


def _check_tensors(
    weights: Mapping[str, Tensor], moments: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
) -> None:
    """Raise ValueError unless a checkpoint's weights and optimizer state have the names and shapes of this model."""
    if {name: each.shape for name, each in weights.items()} != {name: each.shape for name, each in parameters.items()}:
        raise ValueError("the weights are not those of this model")
    needed = {
        f"{kind} {name}": torch.Size() if kind == "step" else value.shape
        for name, value in parameters.items()
        for kind in _MOMENTS
        if f"step {name}" in moments  # a parameter that had no gradient yet has no state
    }
    if {name: each.shape for name, each in moments.items()} != needed:
        raise ValueError("the optimizer's state is not that of this model")


def _restore(
    weights: Mapping[str, Tensor], moments: Mapping[str, Tensor], parameters: Mapping[str, Tensor], optimizer: Any
) -> None:
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(part_of(weights[name], value))
    for key, tensor in moments.items():
        kind, _, name = key.partition(" ")
        parameter = parameters[name]
        # Fused AdamW needs the step count on the device of the parameter.
        divided = part_of(tensor, parameter) if tensor.shape == parameter.shape else tensor.to(parameter.device)
        optimizer.state[parameter][kind] = divided


def remove_checkpoints(output_dir: Path) -> None:
    """Delete all checkpoints, complete or partial."""
    for folder in output_dir.glob("checkpoint-*"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def _checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [(match, path) for path in output_dir.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda each: int(each[0][1]))]
