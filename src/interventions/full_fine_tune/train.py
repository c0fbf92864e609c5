"""Full fine-tuning of a reward model: all weights and a head with one output; the loss is that of lora_fine_tune."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.training.arguments import TrainingArguments


class Arguments(TrainingArguments):
    """Tune all weights and a reward head on packed pairs."""

    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Learning rate after the warm-up."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["full_fine_tune"]


def train(args: Arguments) -> None:
    """Train on one pair per example and save the whole model in transformers' format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.tuning import tune_all_weights

    tune_all_weights(args)


if __name__ == "__main__":
    run(train)
