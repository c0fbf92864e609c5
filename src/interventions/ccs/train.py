"""Contrast-consistent search (Burns et al. 2022): without labels, find what is true of a response called one that
follows the instruction where it is false of the same response called one that does not."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.methods.arguments import ReadingTrainArguments
from genies.methods.base_model import write_base_model
from genies.methods.templates import YES_NO


class Arguments(ReadingTrainArguments):
    """Train a probe on consistency and confidence; the labels set its sign and nothing else."""

    num_restarts: Annotated[int, Field(ge=1)] = 10
    """How many probes are trained, each from another start; the one of the lowest loss stays."""
    num_train_steps: Annotated[int, Field(ge=1)] = 1000
    """Optimizer steps, each on all training responses."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of AdamW."""


def train(args: Arguments) -> None:
    """Read the last layer after both answers, Yes and No, to the question after each response, and fit."""
    examples = Distribution(args.train_distribution).split("train", args.max_examples)

    from genies.lm.activation_reader import ActivationReader
    from genies.lm.sites import Site
    from genies.methods.ccs import fit_consistency_probe
    from genies.methods.representations import read_pairs

    reader = ActivationReader(args.model_dir, args, args.batch_tokens)
    last_layer = Site(reader.outline.depth - 1)
    pairs = one_pair_per_example(examples, args.seed)
    found = read_pairs(reader, [last_layer], YES_NO, pairs, args.train_distribution)
    reader.report()
    probe = fit_consistency_probe(
        found.best[:, :, 0],
        found.worse[:, :, 0],
        last_layer,
        args.num_restarts,
        args.num_train_steps,
        args.learning_rate,
        args.weight_decay,
        args.seed,
    )
    probe.save(args.output_dir)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
