"""Generalizable reward model (Yang et al. 2024, arXiv 2406.10216): the language-model head is kept, and the
log-probability of the best response regularizes the hidden states that the reward head reads."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import GrmArguments


def train(args: GrmArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.regularized_rewards import tune_grm

    tune_grm(args)


if __name__ == "__main__":
    run(train)
