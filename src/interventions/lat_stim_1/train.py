"""Linear artificial tomography (Zou et al. 2023) on plain texts: score a response by how far its hidden states lie
along the mean difference between best and worse responses."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import LayerArguments


def train(args: LayerArguments) -> None:
    """Read the hidden state after every block at the last token of both responses of each pair, and fit."""
    examples = Distribution(args.train_distribution).split("train", args.max_examples)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "blocks", args.num_layers)


if __name__ == "__main__":
    run(train)
