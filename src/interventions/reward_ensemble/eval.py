"""Reward ensemble, evaluation: p = softmax of the combined rewards of a pair's two responses. See train.py."""

from __future__ import annotations

from genies.contract import run
from genies.methods.training.arguments import EnsembleEvaluationArguments


def evaluate(args: EnsembleEvaluationArguments) -> None:
    """Score every response once with each member; --combine selects the mean or the lowest reward."""
    from genies.methods.training.ensembles import evaluate_ensemble

    evaluate_ensemble(args)


if __name__ == "__main__":
    run(evaluate)
