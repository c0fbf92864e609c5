"""ODIN (Chen et al. 2024, arXiv 2402.07319): a reward head with two outputs, one of which is tuned to contain what
correlates with the length of a response and is left out in evaluation."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import OdinArguments


def train(args: OdinArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.regularized_rewards import tune_odin

    tune_odin(args)


if __name__ == "__main__":
    run(train)
