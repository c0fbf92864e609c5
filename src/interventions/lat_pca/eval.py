"""Linear artificial tomography with principal components, evaluation: see train.py."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.arguments import ReadingEvaluationArguments


def evaluate(args: ReadingEvaluationArguments) -> None:
    """p = calibrated mean cosine of the hidden states' difference with the directions."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.representations import evaluate_directions

    evaluate_directions(args, tests)


if __name__ == "__main__":
    run(evaluate)
