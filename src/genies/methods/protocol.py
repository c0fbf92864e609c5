"""`--protocol release_2023`: algorithms and arguments of the 2023 release (Clymer et al. 2023, arXiv 2311.07723).

An intervention's argument model refers to its entry of RELEASE_2023. The protocol sets arguments that neither the
command line nor the configuration file contains. Imports no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from genies.contract import EvaluationArguments, TrainArguments
from genies.errors import InputError
from genies.files import read_json, write_json

ProtocolName = Literal["release_2023"]

FILE_NAME = "protocol.json"


@dataclass(frozen=True)
class Protocol:
    """The effect of a protocol on one intervention."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Values of train.py arguments that differ from the defaults or that the comparison depends on."""
    differences: str = ""
    """The remaining differences from the release, in one or two sentences; empty if none are known."""


_DIRECTIONS = (
    "directions are fitted on 70 % of the pairs and calibrated on the rest, where the release fitted on all pairs and "
    "calibrated on some of them, which is optimistic"
)
_TOKENS = (
    "prompt and response are tokenized together with the special tokens that the tokenizer adds, and scores do not "
    "depend on padding; the release tokenized them apart, without begin-of-text, and averaged over the padded length"
)
_REWARD = "; the head has one output instead of two, and quantization follows --load_in_4bit instead of always being on"

RELEASE_2023: Mapping[str, Protocol] = {
    "mms": Protocol({"read_at": "last_response", "probe": "responses"}, _DIRECTIONS),
    "lat_stim_1": Protocol(
        {"read_at": "last_response", "probe": "responses"},
        f"{_DIRECTIONS}; layers are those after each block, where the release counted the embeddings and left out the "
        "last block",
    ),
    "lat_stim_2": Protocol(
        {"read_at": "last_response", "probe": "responses", "wording": "release_2023"},
        f"{_DIRECTIONS}; the stimulus is applied once in evaluation as well; layers are those after each block, where "
        "the release counted the embeddings and left out the last block",
    ),
    "cra": Protocol({"read_at": "last_response", "probe": "responses", "wording": "release_2023"}, _DIRECTIONS),
    "ccs": Protocol(
        {"read_at": "end_of_text", "wording": "release_2023", "normalize": "target"},
        "accuracy is that of pairs, with the sign taken from the source's labels, where the release reported that of "
        "single responses and took the larger of it and its complement on the test labels; the hidden state is that "
        "before the model's last norm",
    ),
    "lora_fine_tune": Protocol({"lora_target_modules": "default"}, _TOKENS + _REWARD),
    "prompt_tuning": Protocol({"prompt_tuning_init": "random"}, _TOKENS + _REWARD),
    "full_fine_tune": Protocol(differences=_TOKENS),
    "log_prob_classify": Protocol({"lora_target_modules": "default"}, _TOKENS),
    "zero_shot": Protocol(differences=_TOKENS),
    "few_shot": Protocol({"num_shots": 4, "resample": True}, f"draws are seeded; {_TOKENS}"),
    "random": Protocol(),
    "human_eval": Protocol(),
}
"""The effect of `--protocol release_2023` on each intervention; docs/methods.md contains the same table."""


class ProtocolTrainArguments(TrainArguments):
    """Arguments of train.py of an intervention with a protocol."""

    protocol: ProtocolName | None = None
    """With release_2023, arguments not given here have the values of the 2023 release (listed in docs/methods.md)."""

    release_2023: ClassVar[Protocol] = Protocol()
    """The effect of the protocol on this intervention."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("protocol") == "release_2023":
            return {**cls.release_2023.arguments, **values}
        return values


class ProtocolEvaluationArguments(EvaluationArguments):
    """Arguments of eval.py of an intervention with a protocol."""

    protocol: ProtocolName | None = None
    """The protocol with which the model was tuned; another one is an error. It does not change the scores."""
    allow_format_change: bool = False
    """Evaluate a tuned model in another prompt format than that of its training, which is otherwise an error."""


def record_protocol(arguments: ProtocolTrainArguments) -> None:
    """Write protocol.json to a tuned model's folder, and print the differences from the release to standard error.

    Does nothing without a protocol.
    """
    if arguments.protocol is None:
        return
    used = {name: getattr(arguments, name) for name in arguments.release_2023.arguments}
    differences = arguments.release_2023.differences
    record = {"protocol": arguments.protocol, "arguments": used, "differences": differences}
    write_json(arguments.output_dir / FILE_NAME, record)
    print_differences(arguments.protocol, arguments.release_2023)


def print_differences(name: str, protocol: Protocol) -> None:
    """Print the remaining differences from the release to standard error."""
    if protocol.differences:
        print(f"--protocol {name} does not reproduce all of the release: {protocol.differences}", file=sys.stderr)


def recorded_protocol(folder: Path) -> str | None:
    """The protocol with which a model was tuned; None without one. Raises InputError for a damaged record."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    value = read_json(path, "record of the protocol")
    name = value.get("protocol") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{path}: expected an object with the field protocol; train again")
    return name


def protocol_of(arguments: ProtocolEvaluationArguments, untuned: bool = False) -> dict[str, str]:
    """The key `protocol` of an evaluation file with the protocol's name; empty without a protocol.

    Raises InputError if --protocol differs from that of the tuned model. An `untuned` model has no protocol of its own.
    """
    recorded, given = recorded_protocol(arguments.model_dir), arguments.protocol
    if given is not None and given != recorded and not untuned:
        was = f"with --protocol {recorded}" if recorded else "without --protocol"
        raise InputError(
            f"--protocol {given}: the model in {arguments.model_dir} was tuned {was}; give the protocol in "
            "--train_kwargs (and in --target_tuned_train_kwargs, if you use it)"
        )
    name = recorded or given
    return {"protocol": name} if name else {}
