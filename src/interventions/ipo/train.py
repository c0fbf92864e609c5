"""Identity preference optimization (Azar et al. 2023, arXiv 2310.12036): as dpo, but the difference of the two
log-probability ratios is regressed on 1 / (2 beta), which bounds it when all labels agree."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import ImplicitRewardArguments


def train(args: ImplicitRewardArguments) -> None:
    """Train on one pair per example and save the adapter in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.implicit_rewards import tune_implicit_reward

    tune_implicit_reward("ipo", args)


if __name__ == "__main__":
    run(train)
