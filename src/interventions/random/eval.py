"""Random: one half for every pair, the floor of every table. Needs no model."""

from __future__ import annotations

import numpy as np

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.lm.arguments import ModelArguments
from genies.methods.evaluation import write_evaluation
from genies.methods.protocol import ProtocolEvaluationArguments


class Arguments(ProtocolEvaluationArguments, ModelArguments):
    """Toss a coin; how a model is run is accepted, so that one set of eval_kwargs serves all, and has no effect."""


def evaluate(args: Arguments) -> None:
    """p = 0.5."""
    for folder, path in zip(args.distribution_dirs, args.output_paths, strict=True):
        test = pairs(Distribution(folder).split("test", args.max_examples))
        write_evaluation(path, folder, test, np.full(len(test), 0.5))


if __name__ == "__main__":
    run(evaluate)
