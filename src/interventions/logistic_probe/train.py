"""Logistic probe: L2-regularized logistic regression on the difference of two responses' hidden states at one layer,
the strongest simple probe in studies of quirky models (Mallen et al. 2023, arXiv 2312.01037)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import ReadingTrainArguments
from genies.methods.templates import PLAIN, QUESTIONS


class Arguments(ReadingTrainArguments):
    """Fit a probe; its layer and strength are chosen on held-back training pairs."""

    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the training pairs held back to choose and to calibrate."""
    contrast: bool = False
    """Read each response followed by Yes and by No to the question whether it follows the instruction, as cra does, and
    fit the probe to the difference between the two."""


def train(args: Arguments) -> None:
    """Read the hidden state after every block at the last token of both responses of each pair; fit a probe."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.methods.logistic_probe import fit_logistic_probe
    from genies.methods.representations import between_copies, read_training_pairs

    templates = QUESTIONS["default"] if args.contrast else PLAIN
    sites, found = read_training_pairs(args, one_pair_per_example(examples, args.seed), "blocks", templates)
    best, worse = between_copies(found.best), between_copies(found.worse)
    probe = fit_logistic_probe(best, worse, sites, validation_share=args.validation_share, seed=args.seed)
    probe.save(args.output_dir)


if __name__ == "__main__":
    run(train)
