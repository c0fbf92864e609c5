"""Load language models with a value head of TRL: a linear layer `v_head.summary` on the last hidden state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from genies.errors import InputError
from genies.lm import model as loading
from genies.lm.capability import first_line
from genies.methods.training.arguments import TunedModelArguments
from genies.methods.training.decoder_head import put_head
from genies.methods.training.reward_model import RewardModel

_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"


def value_head(folder: Path) -> tuple[Tensor, Tensor | None] | None:
    """The weight [1, width] and the bias [1] of the value head in a folder's weights; None if there is none."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if name.startswith("v_head.")]  # noqa: SIM118 - not a dict
                found |= {name: file.get_tensor(name).float() for name in names}
        except SafetensorError as error:
            raise InputError(f"weights {path} are damaged: {first_line(error)}; download the model again") from None
    if not found:
        return None
    weight = found.pop(_WEIGHT, None)
    bias = found.pop(_BIAS, None)
    if weight is None or weight.dim() != 2 or len(weight) != 1 or found:
        raise InputError(
            f"the value head in {folder} is of an unknown kind; expected the tensors {_WEIGHT}, with one row, and "
            f"{_BIAS}, as TRL writes them"
        )
    return weight, bias


def load_value_head(folder: Path, head: tuple[Tensor, Tensor | None], arguments: TunedModelArguments) -> RewardModel:
    """The reward model of a language model with a value head, whose reward is the value at the last token."""
    if arguments.reward_output is not None:
        raise InputError(f"--reward_output: the value head in {folder} has one output; leave the argument out")
    model = loading.load_model(folder, arguments, of_transformers=True)
    weight, bias = head
    classifier = put_head(model.network, weight, model.device, folder, bias)
    return RewardModel(replace(model, network=classifier))
