"""Contrastive representation arithmetic: mms on what changes in the attention heads when a response is called one
that follows the instruction rather than one that does not (Clymer et al. 2023)."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import HeadArguments
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.templates import QUESTIONS, Wording


class Arguments(HeadArguments):
    """Find the attention heads and directions in which Yes and No copies of good and bad responses differ."""

    wording: Wording = "default"
    """The question after each response: ours or that of the 2023 release."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["cra"]


def train(args: Arguments) -> None:
    """Read every head after both answers, Yes and No, to the question after each response, and fit to Yes - No."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "heads", args.num_heads, QUESTIONS[args.wording])


if __name__ == "__main__":
    run(train)
