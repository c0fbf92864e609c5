"""Random trains nothing; it leaves a note, so that it fits the contract."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model
from genies.methods.protocol import RELEASE_2023, Protocol, ProtocolTrainArguments, record_protocol


class Arguments(ProtocolTrainArguments, ModelArguments):
    """Train nothing; how a model is run is accepted, so that one set of train_kwargs serves all, and has no effect."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["random"]


def train(args: Arguments) -> None:
    """Record the base model, which eval.py never opens."""
    record_protocol(args)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
