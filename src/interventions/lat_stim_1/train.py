"""Linear artificial tomography (Zou et al. 2023) on plain texts: score a pair by the cosine of its difference in hidden
states with the mean difference between best and worse responses."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import LayerArguments
from genies.methods.protocol import RELEASE_2023, Protocol


class Arguments(LayerArguments):
    """Find the layers and directions that separate best from worse responses."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["lat_stim_1"]


def train(args: Arguments) -> None:
    """Read the hidden state after every block at the last token of both responses of each pair; fit directions."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "blocks", args.num_layers)


if __name__ == "__main__":
    run(train)
