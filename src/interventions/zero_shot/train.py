"""Zero-shot trains nothing; as the contract requires a tuned model, it records the base model."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model
from genies.methods.protocol import RELEASE_2023, Protocol, ProtocolTrainArguments, record_protocol


class Arguments(ProtocolTrainArguments, ModelArguments):
    """Train nothing; model arguments have no effect and are accepted so that all interventions share --train_kwargs."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["zero_shot"]


def train(args: Arguments) -> None:
    """Record the base model with which eval.py scores."""
    record_protocol(args)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
