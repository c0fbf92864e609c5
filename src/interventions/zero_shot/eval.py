"""Zero-shot: the response the untuned model finds more probable, per token, given the prompt."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.log_probabilities import LogProbabilityArguments, normalized


def evaluate(args: LogProbabilityArguments) -> None:
    """p = softmax over the pair of the two responses' log-probabilities."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]
    base_model = base_model_dir(args.model_dir)

    from genies.lm.model import load_model
    from genies.lm.scoring import response_log_probabilities
    from genies.methods.responses import EachOnce, encode_pairs

    model = load_model(base_model, args)

    scores = EachOnce(normalized(response_log_probabilities, model, args))
    for folder, path, test in zip(args.distribution_dirs, args.output_paths, tests, strict=True):
        encoded = encode_pairs(model.tokenizer, model.context_length, test, folder)
        scores.learn(encoded.best + encoded.worse)
        p = softmax_of_pair(scores(encoded.best), scores(encoded.worse))
        write_evaluation(path, folder, encoded.pairs, p, encoded.left_out, model.description)


if __name__ == "__main__":
    run(evaluate)
