"""Pairwise preference model, evaluation: p = sigmoid of the difference between the outputs for the two orders of a
pair."""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import TunedModelArguments


def evaluate(args: TunedModelArguments) -> None:
    """Score both orders of every pair with the tuned model."""
    from genies.methods.templates import both_responses
    from genies.methods.training.evaluation import evaluate_rewards

    evaluate_rewards(args, both_responses)


if __name__ == "__main__":
    run(evaluate)
