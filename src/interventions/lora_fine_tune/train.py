"""LoRA fine-tuning of a reward model: low-rank adapters (Hu et al. 2021) and a head with one output, tuned so that the
best response of a pair gets the higher reward (loss -log sigmoid of the difference; Ouyang et al. 2022)."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.training.arguments import LoraArguments


class Arguments(LoraArguments):
    """Tune low-rank adapters and a reward head on packed pairs."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["lora_fine_tune"]


def train(args: Arguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.tuning import tune_lora

    tune_lora(args)


if __name__ == "__main__":
    run(train)
