"""Judge (Zheng et al. 2023, arXiv 2306.05685): ask an instruct model which of two responses is better."""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.methods.base_model import base_model_dir
from genies.methods.judging import JudgeArguments, evaluate_answers


def evaluate(args: JudgeArguments) -> None:
    """p = mean, over both orders, of the softmax of the log-probabilities of the answers A and B."""
    tests = [pairs(Distribution(folder).split("test", args.max_examples)) for folder in args.distribution_dirs]

    from genies.lm.model import load_model
    from genies.lm.text_format import chat_format

    model = load_model(base_model_dir(args.model_dir), args)
    evaluate_answers(args, tests, model, chat_format(args, model.tokenizer), {})


if __name__ == "__main__":
    run(evaluate)
