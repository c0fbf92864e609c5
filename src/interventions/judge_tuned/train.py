"""Tuned judge: low-rank adapters tuned so that the model answers the question of judge correctly, without a chain of
thought (Zhang et al. 2024, arXiv 2408.15240; loss -log sigmoid of the difference between the log-probabilities of the
right and the wrong answer)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import JudgeTrainArguments


def train(args: JudgeTrainArguments) -> None:
    """Train on one pair per example, in both orders, and save the adapter in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.tuned_judge import tune_judge

    tune_judge(args)


if __name__ == "__main__":
    run(train)
