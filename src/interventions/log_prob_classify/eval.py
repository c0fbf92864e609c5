"""Log-probability classification, evaluation: see train.py.

p = softmax of the mean log-probabilities of a pair's two responses.
"""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import TunedModelArguments


def evaluate(args: TunedModelArguments) -> None:
    """Score every response once with the tuned model."""
    from genies.methods.training.evaluation import evaluate_log_probabilities

    evaluate_log_probabilities(args)


if __name__ == "__main__":
    run(evaluate)
