"""Tune a language model to answer which of two responses is better."""

from __future__ import annotations

from torch import Tensor

from genies.adapter_base import find_base_model, revision_doubt
from genies.errors import InputError
from genies.lm.text_format import chat_format, evaluation_format
from genies.methods.judging import evaluate_answers, in_both_orders
from genies.methods.protocol import protocol_of
from genies.methods.training.adapters import add_lora, save_adapter
from genies.methods.training.arguments import JudgeTrainArguments, TunedModelArguments
from genies.methods.training.evaluation import read_tests
from genies.methods.training.gradients import Trainee, trainable
from genies.methods.training.load_adapters import load_language_adapter
from genies.methods.training.log_probabilities import log_probabilities
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.quantization import load_base_model
from genies.methods.training.tuning import read_data, session, tune


def tune_judge(arguments: JudgeTrainArguments) -> None:
    """Tune low-rank adapters so that the right answer, A or B, gets the higher log-probability.

    Each pair is asked about in both orders, which are two training pairs.
    """
    with session(arguments) as accelerator:
        model = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        text_format = chat_format(arguments, model.tokenizer)
        data = read_data(arguments, model, change=in_both_orders, text_format=text_format)
        tuned = add_lora(model.network, arguments, arguments.model_dir, "CAUSAL_LM")

        def scores(micro: MicroBatch) -> Tensor:
            return log_probabilities(model, micro)[0]

        trainee = Trainee(model, trainable(tuned), scores)
        tune("judge", trainee, data, arguments, accelerator, lambda folder: save_adapter(tuned, folder))


def evaluate_judge(arguments: TunedModelArguments) -> None:
    """Write evaluations of a tuned judge, as judge does."""
    tests = read_tests(arguments)
    if arguments.reward_output is not None:
        raise InputError("--reward_output is for reward models, but a judge answers a question; leave it out")
    model = load_language_adapter(arguments.model_dir, arguments)
    text_format = evaluation_format(arguments, arguments.model_dir, model.tokenizer, arguments.allow_format_change)
    if text_format.name != "chat":
        raise InputError("--prompt_format raw: the question is asked in chat format; leave the argument out")
    doubt = revision_doubt(arguments.model_dir, find_base_model(arguments.model_dir, arguments.base_model_dir))
    extra = {**protocol_of(arguments), **({"assumptions": [doubt]} if doubt else {})}
    evaluate_answers(arguments, tests, model, text_format, extra)
