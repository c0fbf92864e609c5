"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290): low-rank adapters tuned so that the best
response of a pair gets the higher implicit reward, beta times its log-probability ratio to the untuned model (loss -log
sigmoid of the difference)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import ImplicitRewardArguments


def train(args: ImplicitRewardArguments) -> None:
    """Train on one pair per example and save the adapter in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.implicit_rewards import tune_implicit_reward

    tune_implicit_reward("dpo", args)


if __name__ == "__main__":
    run(train)
