"""Mass-mean shift, evaluation: see train.py."""

from __future__ import annotations

from genies.contract import EvaluationArguments, run
from genies.data.distribution import Distribution, pairs
from genies.lm.arguments import ModelArguments
from genies.methods.base_model import base_model_dir
from genies.methods.evaluation import write_evaluation


class Arguments(EvaluationArguments, ModelArguments):
    """Score pairs along the directions that training found."""


def evaluate(args: Arguments) -> None:
    """p = calibrated mean cosine of the activation difference with the directions."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]
    base_model = base_model_dir(args.model_dir)

    from genies.lm.activations import last_token_activations
    from genies.lm.model import load_model
    from genies.methods.directions import Directions
    from genies.methods.responses import EachOnce, encode_pairs

    directions = Directions.load(args.model_dir)
    model = load_model(base_model, args)
    read = EachOnce(
        lambda sequences: last_token_activations(
            model, [sequence.ids for sequence in sequences], directions.sites, args.batch_tokens
        )
    )
    for folder, path, test in zip(args.distribution_dirs, args.output_paths, tests, strict=True):
        encoded = encode_pairs(model.tokenizer, model.context_length, test, folder)
        read.learn(encoded.best + encoded.worse)
        p = directions.probabilities(read(encoded.best), read(encoded.worse))
        write_evaluation(path, folder, encoded.pairs, p, encoded.left_out, model.description)


if __name__ == "__main__":
    run(evaluate)
