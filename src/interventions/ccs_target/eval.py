"""Contrast-consistent search on the target, evaluation: see train.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.arguments import ReadingEvaluationArguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genies.methods.representations import ReadPairs


class Arguments(ReadingEvaluationArguments):
    """Score pairs by the confidence that each response follows the instruction."""


def evaluate(args: Arguments) -> None:
    """p as in ccs; the means that are subtracted are those of each distribution's own texts."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.methods.ccs import ConsistencyProbe, mean_activations
    from genies.methods.representations import evaluate_readings

    probe = ConsistencyProbe.load(args.model_dir)

    def probabilities(found: ReadPairs) -> NDArray[np.float64]:
        means = mean_activations(found.responses()[:, :, 0])
        return probe.probabilities(found.best[:, :, 0], found.worse[:, :, 0], means)

    evaluate_readings(args, tests, [probe.site], probabilities, {"uses_target_texts": True})


if __name__ == "__main__":
    run(evaluate)
