"""Direct preference optimization, evaluation: p = softmax of the implicit rewards of a pair's two responses. See
train.py."""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import TunedModelArguments


def evaluate(args: TunedModelArguments) -> None:
    """Score every response once with the tuned and once with the untuned model."""
    from genies.methods.training.implicit_rewards import evaluate_implicit_rewards

    evaluate_implicit_rewards(args)


if __name__ == "__main__":
    run(evaluate)
