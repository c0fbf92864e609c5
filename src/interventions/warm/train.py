"""Weight-averaged reward model (Ramé et al. 2024, arXiv 2401.12187): several reward models as in lora_fine_tune, from
the same initial values, averaged in the space of weights."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import WarmArguments


def train(args: WarmArguments) -> None:
    """Train every member on one pair per example and save the average as one adapter with its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.weight_averaging import tune_warm

    tune_warm(args)


if __name__ == "__main__":
    run(train)
