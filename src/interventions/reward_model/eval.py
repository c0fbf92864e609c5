"""Reward model: prefer the response with the higher reward under a published reward model, which is not trained."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.training.arguments import PublishedModelArguments


def evaluate(args: PublishedModelArguments) -> None:
    """p = softmax of the rewards of a pair's two responses."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.training.published import evaluate_published

    evaluate_published(args, tests)


if __name__ == "__main__":
    run(evaluate)
