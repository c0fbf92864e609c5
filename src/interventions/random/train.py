"""Random trains nothing; it leaves a note, so that it fits the contract."""

from __future__ import annotations

from genies.contract import TrainArguments, run
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model


class Arguments(TrainArguments, ModelArguments):
    """Train nothing; how a model is run is accepted, so that one set of train_kwargs serves all, and has no effect."""


def train(args: Arguments) -> None:
    """Record the base model, which eval.py never opens."""
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
