"""Human evaluation: a person in a terminal chooses the best response. Needs no model.

Answers are saved in a hidden file beside each output path (.<name>.answers.json) until all evaluations are written, so
the same command continues an interrupted evaluation.
"""

from __future__ import annotations

from genies.contract import run
from genies.data.distribution import Distribution, pairs
from genies.errors import INTERRUPTED
from genies.lm.arguments import ModelArguments
from genies.methods.asking import Answers, ask, check_terminal
from genies.methods.evaluation import write_evaluation
from genies.methods.protocol import ProtocolEvaluationArguments


class Arguments(ProtocolEvaluationArguments, ModelArguments):
    """Ask a person; model arguments have no effect and are accepted so that all interventions share --eval_kwargs."""


def evaluate(args: Arguments) -> int:
    """p = 1 if the person ranks the best response higher, 0 if lower, 1/2 if neither or passed."""
    distributions = [Distribution(folder) for folder in args.distribution_dirs]
    tests = [distribution.split("test", args.max_examples) for distribution in distributions]
    check_terminal(args)
    kept = [Answers(path, each) for path, each in zip(args.output_paths, distributions, strict=True)]
    for distribution, path, test, answers in zip(distributions, args.output_paths, tests, kept, strict=True):
        if not ask(distribution.name, test, answers, args.seed):
            print("\nThe answers are saved; run the same command again to continue.")
            return INTERRUPTED
        extra = {"eval_passed_examples": answers.passes(test)}
        write_evaluation(path, distribution.folder, pairs(test), answers.probabilities(test), extra=extra)
    for answers in kept:
        answers.forget()
    return 0


if __name__ == "__main__":
    run(evaluate)
