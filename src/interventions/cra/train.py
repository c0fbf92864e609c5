"""Contrastive representation arithmetic (Clymer et al. 2023): mass-mean shift on the difference in attention heads
between a response followed by Yes and by No to the question whether it follows the instruction."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import HeadArguments
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.templates import QUESTIONS, Wording


class Arguments(HeadArguments):
    """Find the attention heads and directions in which the differences of Yes and No copies separate best from worse
    responses."""

    wording: Wording = "default"
    """The question after each response: that of this project or of the 2023 release."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["cra"]


def train(args: Arguments) -> None:
    """Read every head after each response, the question, and each of the answers Yes and No; fit to Yes - No."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "heads", args.num_heads, QUESTIONS[args.wording])


if __name__ == "__main__":
    run(train)
