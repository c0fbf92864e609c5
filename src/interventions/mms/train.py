"""Mass-mean shift: score a response by how far its attention-head activations lie along the mean difference
between best and worse responses (Li et al. 2023; Clymer et al. 2023)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genies.contract import TrainArguments, run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import write_base_model


class Arguments(TrainArguments, ModelArguments):
    """Find the heads and directions that tell the best response from a worse one."""

    num_heads: Annotated[int, Field(ge=1)] = 16
    """How many attention heads, those with the most accurate probes, take part."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the pairs held back to choose heads and to calibrate."""


def train(args: Arguments) -> None:
    """Read every head at the last token of both responses of each pair, and fit."""
    source = Distribution(args.train_distribution)
    pairs = one_pair_per_example(source.split("train", args.max_examples), args.seed)

    from genies.lm.activations import all_sites, last_token_activations
    from genies.lm.model import load_model
    from genies.methods.directions import fit_directions
    from genies.methods.responses import encode_pairs

    model = load_model(args.model_dir, args)
    encoded = encode_pairs(model.tokenizer, model.context_length, pairs, source.folder)
    sites = all_sites(model, "heads")
    ids = [sequence.ids for sequence in encoded.best + encoded.worse]
    activations = last_token_activations(model, ids, sites, args.batch_tokens)
    best, worse = activations[: len(encoded.pairs)], activations[len(encoded.pairs) :]
    directions = fit_directions(best, worse, sites, args.num_heads, args.validation_share, args.seed)
    directions.save(args.output_dir)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
