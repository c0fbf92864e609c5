"""Anchored reward training: low-rank adapters tuned with a penalty on the drift of the features that the head reads
from those of the untuned model (arXiv 2605.25629)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import AnchorArguments


def train(args: AnchorArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.steering import tune_anchored

    tune_anchored(args)


if __name__ == "__main__":
    run(train)
