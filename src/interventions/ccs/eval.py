"""Contrast-consistent search, evaluation: see train.py."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.arguments import ReadingEvaluationArguments
from genies.methods.templates import YES_NO


def evaluate(args: ReadingEvaluationArguments) -> None:
    """p = chance that the best response is the one that follows, from the confidences of both."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.ccs import ConsistencyProbe
    from genies.methods.representations import evaluate_readings

    probe = ConsistencyProbe.load(args.model_dir)
    evaluate_readings(
        args,
        tests,
        [probe.site],
        YES_NO,
        lambda best, worse: probe.probabilities(best[:, :, 0], worse[:, :, 0]),
    )


if __name__ == "__main__":
    run(evaluate)
