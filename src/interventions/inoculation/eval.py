"""Inoculation, evaluation: p = softmax of the rewards of a pair's two responses. See train.py."""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import TunedModelArguments


def evaluate(args: TunedModelArguments) -> None:
    """Score every response once with the tuned model."""
    from genies.methods.training.evaluation import evaluate_rewards

    evaluate_rewards(args)


if __name__ == "__main__":
    run(evaluate)
