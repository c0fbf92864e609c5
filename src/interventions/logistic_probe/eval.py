"""Logistic probe, evaluation: see train.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.arguments import ReadingEvaluationArguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genies.methods.representations import ReadPairs


def evaluate(args: ReadingEvaluationArguments) -> None:
    """p = calibrated probability of the probe that the first of two responses is the best one."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.logistic_probe import LogisticProbe
    from genies.methods.representations import between_copies, evaluate_readings

    probe = LogisticProbe.load(args.model_dir)

    def probabilities(found: ReadPairs) -> NDArray[np.float64]:
        return probe.probabilities(between_copies(found.best)[:, 0], between_copies(found.worse)[:, 0])

    evaluate_readings(args, tests, [probe.site], probabilities)


if __name__ == "__main__":
    run(evaluate)
