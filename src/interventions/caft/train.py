"""Concept ablation fine-tuning (Casademunt et al. 2025, arXiv 2507.16795): low-rank adapters tuned while directions are
projected out of the hidden states, so that the reward cannot be learnt from them."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import CaftArguments


def train(args: CaftArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.steering import tune_without_directions

    tune_without_directions(args)


if __name__ == "__main__":
    run(train)
