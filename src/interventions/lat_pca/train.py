"""Linear artificial tomography with principal components (Zou et al. 2023, section 3.1): score a pair by the cosine of
its difference in hidden states with the first principal component of the training pairs' differences."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import LayerArguments


class Arguments(LayerArguments):
    """Find the layers and the directions in which the responses of pairs differ most; labels determine the sign."""


def train(args: Arguments) -> None:
    """Read the hidden state after every block at the last token of both responses of each pair; fit directions."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "blocks", args.num_layers, fit="pca")


if __name__ == "__main__":
    run(train)
