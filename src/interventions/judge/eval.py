"""Judge (Zheng et al. 2023, arXiv 2306.05685): ask an instruct model which of two responses is better."""

from __future__ import annotations

from pathlib import Path

from genies.contract import run
from genies.data.distribution import Distribution, Pair, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.judging import JudgeArguments, in_both_orders


def evaluate(args: JudgeArguments) -> None:
    """p = mean, over both orders, of the softmax of the log-probabilities of the answers A and B."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.lm.model import load_model
    from genies.lm.shared_prefix import response_log_probabilities
    from genies.lm.text_format import chat_format
    from genies.methods.responses import EachOnce, encode_pairs

    model = load_model(base_model_dir(args.model_dir), args)
    text_format = chat_format(args, model.tokenizer)
    scores = EachOnce(lambda sequences: response_log_probabilities(model, sequences, args.batch_tokens)[0])

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        asked = encode_pairs(model.tokenizer, model.context_length, in_both_orders(test), folder, text_format)
        scores.learn(asked.best + asked.worse)
        p = softmax_of_pair(scores(asked.best), scores(asked.worse)).reshape(2, -1)
        kept = [pair for pair in test if pair.example_index not in asked.left_out]
        extra = {
            **model.description,
            **text_format.description(),
            "eval_order_agreement": float(((p[0] > 0.5) == (p[1] > 0.5)).mean()),
        }
        write_evaluation(path, folder, kept, p.mean(0), asked.left_out, extra)

    for_each_distribution(args, tests, evaluate_one)


if __name__ == "__main__":
    run(evaluate)
