"""Pairwise preference model: low-rank adapters and a head that reads the prompt and both responses in one text (Jiang
et al. 2023, arXiv 2306.02561; Dong et al. 2024, arXiv 2405.07863; loss -log sigmoid of the difference between the
outputs for the two orders)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.training.arguments import LoraArguments


def train(args: LoraArguments) -> None:
    """Train on one pair per example and save the adapter and its head in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.templates import both_responses
    from genies.methods.training.tuning import session, tune_lora_reward

    with session(args) as accelerator:
        tune_lora_reward("pairwise", args, accelerator, change=both_responses)


if __name__ == "__main__":
    run(train)
