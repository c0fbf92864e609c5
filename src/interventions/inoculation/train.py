"""Inoculation: while tuning, the prompt asks for the shortcut that the source may reward, so that the model need not
learn to take it unasked; in evaluation, the prompt does not."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import InoculationArguments


def train(args: InoculationArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.steering import tune_inoculated

    tune_inoculated(args)


if __name__ == "__main__":
    run(train)
