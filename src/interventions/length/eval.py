"""Length: prefers the longer response, a baseline that reads nothing. Needs no model."""

from __future__ import annotations

import numpy as np

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.lm.arguments import ModelArguments
from genies.methods.evaluation import write_evaluation
from genies.methods.protocol import ProtocolEvaluationArguments


class Arguments(ProtocolEvaluationArguments, ModelArguments):
    """Use no model; model arguments have no effect and are accepted so that all interventions share --eval_kwargs."""


def evaluate(args: Arguments) -> None:
    """p = n_best / (n_best + n_worse), where n is the number of characters; 1/2 for two empty responses."""
    for folder, path in zip(args.distribution_dirs, args.output_paths, strict=True):
        test = pairs(Distribution(folder).split("test", args.max_examples))
        best = np.array([len(pair.best) for pair in test], dtype=np.float64)
        both = best + [len(pair.worse) for pair in test]
        p = np.divide(best, both, out=np.full(len(test), 0.5), where=both > 0)
        write_evaluation(path, folder, test, p)


if __name__ == "__main__":
    run(evaluate)
