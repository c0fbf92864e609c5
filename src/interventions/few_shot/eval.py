"""Few-shot: zero-shot with demonstrations of the source distribution before each prompt (Brown et al. 2020)."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.demonstrations import Demonstrations
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.log_probabilities import LogProbabilityArguments, normalized


def evaluate(args: LogProbabilityArguments) -> None:
    """p = softmax over the pair of the two responses' log-probabilities."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]
    demonstrations = Demonstrations.load(args.model_dir)
    base_model = base_model_dir(args.model_dir)

    from genies.lm.model import load_model
    from genies.lm.shared_prefix import response_log_probabilities
    from genies.methods.demonstrations import demonstrate
    from genies.methods.responses import EachOnce, encode_pairs

    model = load_model(base_model, args)

    scores = EachOnce(normalized(response_log_probabilities, model, args))
    for folder, path, test in zip(args.distribution_dirs, args.output_paths, tests, strict=True):
        shown = demonstrate(demonstrations, test, model.tokenizer, model.context_length, args.seed)
        encoded = encode_pairs(model.tokenizer, model.context_length, shown.pairs, folder)
        for group in shown.groups(encoded):
            scores.learn(group)
        p = softmax_of_pair(scores(encoded.best), scores(encoded.worse))
        extra = {**model.description, **shown.counts(encoded)}
        write_evaluation(path, folder, encoded.pairs, p, encoded.left_out, extra)


if __name__ == "__main__":
    run(evaluate)
