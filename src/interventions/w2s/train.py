"""Weak-to-strong generalization (Burns et al. 2023, arXiv 2312.09390): a reward model as in lora_fine_tune, tuned on
the preferences of a weaker model with an auxiliary confidence loss."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import WeakLabelArguments


def train(args: WeakLabelArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.weak_labels import tune_on_weak_labels

    tune_on_weak_labels(args)


if __name__ == "__main__":
    run(train)
