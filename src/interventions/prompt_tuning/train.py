"""Prompt tuning of a reward model: virtual tokens before every text (Lester et al. 2021) and a head with one output;
the loss is that of lora_fine_tune."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.training.arguments import AdapterArguments


class Arguments(AdapterArguments):
    """Tune virtual tokens and a reward head on packed pairs."""

    num_train_steps: Annotated[int, Field(ge=1)] = 150
    """Number of optimizer steps."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.0052
    """Learning rate after the warm-up."""
    search_factors: list[Annotated[float, Field(gt=0)]] = Field(default=[0.2, 1.0, 5.0], min_length=1)
    """Multiples of --learning_rate that --search tries."""
    num_virtual_tokens: Annotated[int, Field(ge=1)] = 10
    """Number of virtual tokens before every text."""
    prompt_tuning_init: Literal["vocabulary", "random"] = "vocabulary"
    """Initial values of the virtual tokens: embeddings of vocabulary tokens drawn with the seed, or normal noise."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["prompt_tuning"]


def train(args: Arguments) -> None:
    """Train on one pair per example and save the virtual tokens and the head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.tuning import tune_prompt

    tune_prompt(args, args.num_virtual_tokens, args.prompt_tuning_init)


if __name__ == "__main__":
    run(train)
