"""Average the weights of several reward models (Ramé et al. 2024, arXiv 2401.12187)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genies.adapter_base import CONFIG
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.methods.protocol import record_protocol
from genies.methods.training import decoder_head
from genies.methods.training.adapters import WEIGHTS
from genies.methods.training.arguments import WarmArguments
from genies.methods.training.checkpoints import remove_checkpoints
from genies.methods.training.ensembles import tune_members
from genies.methods.training.tuning import session


def tune_warm(arguments: WarmArguments) -> None:
    """Tune several reward models from the same initial adapters and head, and save the average of their weights as one
    adapter in PEFT's format."""

    def check(tuned: Any) -> None:
        if arguments.average == "products" and tuned.peft_config[tuned.active_adapter].target_parameters:
            raise InputError(
                "--average products: the model has experts in one tensor, whose adapters cannot be joined; use "
                "--average factors"
            )

    with session(arguments) as accelerator:
        folders = tune_members("warm", arguments, accelerator, same_start=True, check=check)
        if accelerator.is_main_process:
            shutil.copytree(folders[0], arguments.output_dir, dirs_exist_ok=True)
            (arguments.output_dir / "member.json").unlink()
            average_adapters(folders, arguments.output_dir, arguments.average)
            record_protocol(arguments)
            remove_checkpoints(arguments.output_dir)


def average_adapters(folders: Sequence[Path], output_dir: Path, average: Literal["products", "factors"]) -> None:
    """Write the average of the adapters in `folders`, and of their heads, to `output_dir`.

    With "products", the average of the products B A is one adapter of a rank that is multiplied by their number: its A
    contains all A, one below the other, and its B all B, side by side, divided by their number.
    """
    members = [load_file(folder / WEIGHTS) for folder in folders]
    joined = {name: _average(name, [each[name] for each in members], average) for name in members[0]}
    save_file(joined, output_dir / WEIGHTS, metadata={"format": "pt"})
    config: dict[str, Any] = read_json(folders[0] / CONFIG, "adapter configuration")
    if average == "products":
        # The factor of B A is lora_alpha / rank.
        config |= {name: config[name] * len(folders) for name in ("r", "lora_alpha")}
    write_json(output_dir / CONFIG, config)
    if decoder_head.has_head(folders[0]):
        heads: Mapping[str, Tensor] = {"weight": _mean([decoder_head.read_head(folder) for folder in folders])}
        save_file(dict(heads), output_dir / decoder_head.WEIGHTS)


def _average(name: str, values: Sequence[Tensor], average: Literal["products", "factors"]) -> Tensor:
    if average == "products" and ".lora_A." in name:
        return torch.cat(list(values), dim=0).contiguous()
    if average == "products" and ".lora_B." in name:
        return (torch.cat(list(values), dim=1) / len(values)).contiguous()
    return _mean(values)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)
