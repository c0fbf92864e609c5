"""Contrastive representation arithmetic: mms on what changes in the attention heads when a response is called one
that follows the instruction rather than one that does not (Clymer et al. 2023)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import HeadArguments
from genies.methods.templates import YES_NO


def train(args: HeadArguments) -> None:
    """Read every head after both answers, Yes and No, to the question after each response, and fit to Yes - No."""
    examples = Distribution(args.train_distribution).split("train", args.max_examples)

    from genies.methods.representations import train_directions

    train_directions(args, one_pair_per_example(examples, args.seed), "heads", args.num_heads, YES_NO)


if __name__ == "__main__":
    run(train)
