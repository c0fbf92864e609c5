"""Zero-shot: prefer the response with the higher mean log-probability per token under the untuned model."""

from __future__ import annotations

from pathlib import Path

from genies.contract import run
from genies.data.distribution import Distribution, Pair, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.log_probabilities import LogProbabilityArguments, normalized
from genies.methods.protocol import RELEASE_2023, print_differences, protocol_of


def evaluate(args: LogProbabilityArguments) -> None:
    """p = softmax of the log-probabilities of a pair's two responses."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]
    base_model = base_model_dir(args.model_dir)
    untuned = base_model == args.model_dir
    protocol = protocol_of(args, untuned)
    if untuned and args.protocol is not None:
        print_differences(args.protocol, RELEASE_2023["zero_shot"])

    from genies.lm.model import load_model
    from genies.lm.scoring import response_log_probabilities
    from genies.lm.text_format import evaluation_format
    from genies.methods.responses import EachOnce, encode_pairs

    model = load_model(base_model, args)
    text_format = evaluation_format(args, base_model, model.tokenizer)

    scores = EachOnce(normalized(response_log_probabilities, model, args.batch_tokens, args.normalization))

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        encoded = encode_pairs(model.tokenizer, model.context_length, test, folder, text_format)
        scores.learn(encoded.best + encoded.worse)
        found = scores(encoded.best), scores(encoded.worse)
        extra = {**model.description, **text_format.description(), **protocol}
        write_evaluation(path, folder, encoded.pairs, softmax_of_pair(*found), encoded.left_out, extra, found)

    for_each_distribution(args, tests, evaluate_one)


if __name__ == "__main__":
    run(evaluate)
