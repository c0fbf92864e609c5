"""Reward heads on causal language models, for architectures without a classification model in transformers.

The head is a linear layer on the last hidden state, as in transformers' classification models. It is saved in the tuned
model's folder, beside the adapter or the whole language model:

    reward_head.safetensors   one tensor, weight [outputs, width], float32
    reward_head.json          a description: {"kind": "linear_head_on_causal_lm", "outputs": 1, ...}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.capability import find_decoder, first_line

RECORD = "reward_head.json"
WEIGHTS = "reward_head.safetensors"
KIND = "linear_head_on_causal_lm"


class DecoderWithHead(nn.Module):
    """A causal language model with a reward head, used like a classification model.

    Its language-model head is not used.
    """

    def __init__(self, language_model: Any, head: nn.Linear) -> None:
        super().__init__()
        self.language_model = language_model
        self.score = head

    @property
    def config(self) -> Any:
        """The language model's configuration."""
        return self.language_model.config

    def get_input_embeddings(self) -> Any:
        """The language model's embedding."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, embedding: nn.Module) -> None:
        """Replace the language model's embedding."""
        self.language_model.set_input_embeddings(embedding)

    def set_attn_implementation(self, name: str) -> None:
        """Set the language model's attention implementation."""
        self.language_model.set_attn_implementation(name)


def head_width(language_model: Any) -> int:
    """Width of the last hidden states: the input width of the language-model head, as OPT-350M projects to it."""
    return int(language_model.get_output_embeddings().weight.shape[1])


def network_to_adapt(classifier: Any) -> tuple[Any, str]:
    """The network that gets an adapter, and its task type in PEFT."""
    if isinstance(classifier, DecoderWithHead):
        return classifier.language_model, "CAUSAL_LM"
    return classifier, "SEQ_CLS"


def trainable_head(classifier: Any) -> dict[str, nn.Parameter]:
    """Make the head of a DecoderWithHead trainable and return its parameters by name; empty for other models, whose
    head PEFT trains."""
    if not isinstance(classifier, DecoderWithHead):
        return {}
    classifier.score.requires_grad_(True)
    return {f"reward_head.{name}": parameter for name, parameter in classifier.score.named_parameters()}


def save_head(classifier: Any, folder: Path) -> None:
    """Save the head of a DecoderWithHead; does nothing for other models, which save their own head."""
    if not isinstance(classifier, DecoderWithHead):
        return
    weight = classifier.score.weight.detach().float().cpu().contiguous()
    save_file({"weight": weight}, folder / WEIGHTS)
    record = {
        "kind": KIND,
        "outputs": len(weight),
        "weights": WEIGHTS,
        "language_model": type(classifier.language_model).__name__,
        "decoder": _decoder_name(classifier.language_model),
        "reads": "the decoder's last hidden state, final norm applied, at the last token",
    }
    write_json(folder / RECORD, record)


def _decoder_name(language_model: Any) -> str:
    """The name of the module that returns the last hidden states."""
    decoder = find_decoder(language_model)
    names = (name for name, module in language_model.named_modules() if module is decoder)
    return str(next(names)).replace("base_model.model.", "", 1)


def has_head(folder: Path) -> bool:
    """Whether a tuned model's folder contains a head saved by save_head."""
    return (folder / RECORD).is_file()


def head_record(folder: Path) -> dict[str, Any] | None:
    """The description of the head in a tuned model's folder; None if it contains no head saved by save_head."""
    if not has_head(folder):
        return None
    record = read_json(folder / RECORD, "reward head")
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind != KIND:
        raise InputError(f"{folder / RECORD}, field kind: expected {KIND}, got {kind}; train again")
    return dict(record)


def read_head(folder: Path) -> Tensor:
    """The weight [outputs, width], float32, of the head in a folder; InputError if it is damaged."""
    record = head_record(folder) or {}
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the reward head {folder / WEIGHTS} is missing or damaged: {first_line(error)}; train again"
        ) from None
    weight = tensors.get("weight")
    if weight is None or weight.dim() != 2 or len(weight) != record.get("outputs") or not weight.isfinite().all():
        raise InputError(
            f"{folder / WEIGHTS}: expected one tensor, weight, with {record.get('outputs')} rows of finite numbers; "
            "train again"
        )
    return weight.float()


def head_labels(weight: Tensor) -> list[str]:
    """Names of the outputs of a head with this weight."""
    return [f"LABEL_{index}" for index in range(len(weight))]


def put_head(
    language_model: Any, weight: Tensor, device: torch.device, folder: Path, bias: Tensor | None = None
) -> DecoderWithHead:
    """The language model with a head of this weight [outputs, width] and bias [outputs].

    Raises InputError, which names `folder`, if their widths differ.
    """
    width = head_width(language_model)
    if weight.shape[1] != width:
        raise InputError(
            f"the reward head in {folder} expects hidden states of width {weight.shape[1]}, but the model's have width "
            f"{width}: they do not belong together; check the base model"
        )
    head = nn.Linear(width, len(weight), bias=bias is not None)
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)
    return DecoderWithHead(language_model, head.to(device)).eval().requires_grad_(False)
