"""Mass-mean shift, evaluation: see train.py."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.arguments import ReadingEvaluationArguments


def evaluate(args: ReadingEvaluationArguments) -> None:
    """p = calibrated mean cosine, with the directions, of the activation difference between the responses."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.representations import evaluate_directions

    evaluate_directions(args, tests)


if __name__ == "__main__":
    run(evaluate)
