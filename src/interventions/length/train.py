"""Length trains nothing; as the contract requires a tuned model, it records the base model."""

from __future__ import annotations

from genies.contract import run
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model
from genies.methods.protocol import ProtocolTrainArguments, record_protocol


class Arguments(ProtocolTrainArguments, ModelArguments):
    """Train nothing; model arguments have no effect and are accepted so that all interventions share --train_kwargs."""


def train(args: Arguments) -> None:
    """Record the base model, which eval.py does not load."""
    record_protocol(args)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
