"""Log-probability classification: low-rank adapters tuned so that the best response of a pair gets the higher mean
log-probability per token (loss -log sigmoid of the difference)."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.training.arguments import LoraArguments


class Arguments(LoraArguments):
    """Tune low-rank adapters on the log-probabilities of packed pairs."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["log_prob_classify"]


def train(args: Arguments) -> None:
    """Train on one pair per example and save the adapter in PEFT's format."""
    Distribution(args.train_distribution).split("train")  # reports bad data before torch is loaded

    from genies.methods.training.tuning import tune_log_probabilities

    tune_log_probabilities(args)


if __name__ == "__main__":
    run(train)
