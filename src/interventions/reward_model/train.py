"""A published reward model is not trained; as the contract requires a tuned model, its folder is recorded."""

from __future__ import annotations

from genies.contract import TrainArguments, run
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model


class Arguments(TrainArguments, ModelArguments):
    """Train nothing; model arguments have no effect and are accepted so that all interventions share --train_kwargs."""


def train(args: Arguments) -> None:
    """Record the reward model with which eval.py scores."""
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
