"""Reward ensemble (Coste et al. 2023, arXiv 2310.02743): several reward models as in lora_fine_tune, with different
seeds, whose rewards are combined in evaluation."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import EnsembleArguments


def train(args: EnsembleArguments) -> None:
    """Train every member on one pair per example and save their adapters and heads in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.ensembles import tune_ensemble

    tune_ensemble(args)


if __name__ == "__main__":
    run(train)
