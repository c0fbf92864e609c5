"""Tuned judge, evaluation: p = mean, over both orders, of the softmax of the log-probabilities of A and B."""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import TunedModelArguments


def evaluate(args: TunedModelArguments) -> None:
    """Ask about every pair in both orders."""
    from genies.methods.training.tuned_judge import evaluate_judge

    evaluate_judge(args)


if __name__ == "__main__":
    run(evaluate)
