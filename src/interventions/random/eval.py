"""Random: probability one half for every pair (chance level). Needs no model."""

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
    """p = 0.5."""
    for folder, path in zip(args.distribution_dirs, args.output_paths, strict=True):
        test = pairs(Distribution(folder).split("test", args.max_examples))
        write_evaluation(path, folder, test, np.full(len(test), 0.5))


if __name__ == "__main__":
    run(evaluate)
