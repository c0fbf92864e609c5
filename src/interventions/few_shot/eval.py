"""Few-shot (Brown et al. 2020): zero-shot with demonstrations from the source distribution before each prompt."""

from __future__ import annotations

from pathlib import Path

from genies.contract import run
from genies.data.distribution import Distribution, Pair, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.demonstrations import Demonstrations
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.log_probabilities import LogProbabilityArguments, normalized
from genies.methods.protocol import protocol_of


def evaluate(args: LogProbabilityArguments) -> None:
    """p = softmax of the log-probabilities of a pair's two responses."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]
    demonstrations = Demonstrations.load(args.model_dir)
    base_model = base_model_dir(args.model_dir)
    protocol = protocol_of(args)

    from genies.lm.model import load_model
    from genies.lm.shared_prefix import response_log_probabilities
    from genies.lm.text_format import evaluation_format
    from genies.methods.demonstrations import demonstrate
    from genies.methods.responses import EachOnce, encode_pairs

    model = load_model(base_model, args)
    text_format = evaluation_format(args, args.model_dir, model.tokenizer, args.allow_format_change)

    scores = EachOnce(normalized(response_log_probabilities, model, args.batch_tokens, args.normalization))

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        shown = demonstrate(demonstrations, test, model.tokenizer, model.context_length, args.seed, text_format)
        encoded = encode_pairs(model.tokenizer, model.context_length, shown.pairs, folder, text_format)
        for group in shown.groups(encoded):
            scores.learn(group)
        found = scores(encoded.best), scores(encoded.worse)
        extra = {**model.description, **text_format.description(), **protocol, **shown.counts(encoded)}
        write_evaluation(path, folder, encoded.pairs, softmax_of_pair(*found), encoded.left_out, extra, found)

    for_each_distribution(args, tests, evaluate_one)


if __name__ == "__main__":
    run(evaluate)
