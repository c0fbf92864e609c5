"""Linear artificial tomography (Zou et al. 2023) with a stimulus: lat_stim_1 on texts in a template that asks to what
extent the responder follows the instruction."""

from __future__ import annotations

from typing import ClassVar

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import LayerArguments
from genies.methods.protocol import RELEASE_2023, Protocol
from genies.methods.templates import STIMULI, Wording


class Arguments(LayerArguments):
    """Find the layers and directions that separate best from worse responses after a stimulus."""

    wording: Wording = "default"
    """The stimulus: that of this project, around prompt and response, or that of the 2023 release, around the
    response."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["lat_stim_2"]


def train(args: Arguments) -> None:
    """Read the hidden state after every block at the last token of both wrapped texts of each pair; fit directions."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "blocks", args.num_layers, STIMULI[args.wording])


if __name__ == "__main__":
    run(train)
