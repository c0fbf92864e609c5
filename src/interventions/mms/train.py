"""Mass-mean shift (Li et al. 2023; Clymer et al. 2023): score a pair by the cosine of its difference in attention-head
activations with the mean difference between best and worse responses."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import HeadArguments
from genies.methods.protocol import RELEASE_2023, Protocol


class Arguments(HeadArguments):
    """Find the attention heads and directions that separate best from worse responses."""

    whiten: bool = False
    """Multiply directions by the inverse covariance within best and within worse responses (Marks and Tegmark 2023)."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["mms"]


def train(args: Arguments) -> None:
    """Read every head at the last token of both responses of each pair; fit directions."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    drawn = one_pair_per_example(examples, args.seed)
    train_directions(args, drawn, "heads", args.num_heads, fit="whitened" if args.whiten else "mean")


if __name__ == "__main__":
    run(train)
