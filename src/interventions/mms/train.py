"""Mass-mean shift: score a response by how far its attention-head activations lie along the mean difference
between best and worse responses (Li et al. 2023; Clymer et al. 2023)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import HeadArguments


def train(args: HeadArguments) -> None:
    """Read every head at the last token of both responses of each pair, and fit."""
    examples = Distribution(args.train_distribution).split("train", args.max_examples)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "heads", args.num_heads)


if __name__ == "__main__":
    run(train)
