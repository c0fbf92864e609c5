"""Linear artificial tomography (Zou et al. 2023) with a stimulus: lat_stim_1 on texts wrapped in words that ask how
far the responder follows the instruction."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import LayerArguments
from genies.methods.templates import STIMULUS


def train(args: LayerArguments) -> None:
    """Read the hidden state after every block at the last token of both wrapped texts of each pair, and fit."""
    examples = Distribution(args.train_distribution).split("train", args.max_examples)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "blocks", args.num_layers, STIMULUS)


if __name__ == "__main__":
    run(train)
