"""Ask a language model in chat format which of two responses is better, in both orders. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genies.data.conversation import Conversation, Message, Prompt, as_text
from genies.data.distribution import Pair
from genies.lm.arguments import ModelArguments
from genies.lm.text_format import TextFormat
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.protocol import ProtocolEvaluationArguments

if TYPE_CHECKING:
    from genies.contract import EvaluationArguments
    from genies.lm.model import LanguageModel

ANSWERS = ("A", "B")

_CHAT = TextFormat("chat")

_QUESTION = """Compare two responses of an assistant to the last message of a conversation.

{conversation}

[Response A]
{a}

[Response B]
{b}

[Question]
Which response is better? Answer with A or B and nothing else."""


class JudgeArguments(ProtocolEvaluationArguments, ModelArguments):
    """Ask an instruct model which of two responses is better."""

    prompt_format: Literal["auto", "chat"] = "auto"
    """The question is always asked in chat format, which auto means too."""


def question(conversation: Prompt, a: str, b: str) -> Conversation:
    """The message that asks which of the responses `a` and `b` to the conversation is better.

    The conversation's own system message is a part of the question.
    """
    shown = as_text(conversation).removesuffix("Assistant:\n").rstrip("\n")
    return (Message("user", _QUESTION.format(conversation=shown, a=a, b=b)),)


def in_both_orders(pairs: Sequence[Pair]) -> list[Pair]:
    """For each pair, the question with the best response as A, then, after all pairs, those with it as B.

    In each, the answer that names the best response is the pair's best, the other its worse.
    """
    first, second = ANSWERS
    asked = [_CHAT.prompt(pair.prompt, pair.conversation) for pair in pairs]
    return [
        *(
            Pair(pair.example_index, question(each, pair.best, pair.worse), first, second)
            for pair, each in zip(pairs, asked, strict=True)
        ),
        *(
            Pair(pair.example_index, question(each, pair.worse, pair.best), second, first)
            for pair, each in zip(pairs, asked, strict=True)
        ),
    ]


def evaluate_answers(
    arguments: EvaluationArguments,
    tests: Sequence[list[Pair]],
    model: LanguageModel,
    text_format: TextFormat,
    extra: dict[str, Any],
) -> None:
    """Write evaluations with p = mean, over both orders, of the softmax of the log-probabilities of the answers."""
    from genies.lm.shared_prefix import response_log_probabilities
    from genies.methods.responses import EachOnce, encode_pairs

    scores = EachOnce(lambda sequences: response_log_probabilities(model, sequences, arguments.batch_tokens)[0])

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        asked = encode_pairs(model.tokenizer, model.context_length, in_both_orders(test), folder, text_format)
        scores.learn(asked.best + asked.worse)
        p = softmax_of_pair(scores(asked.best), scores(asked.worse)).reshape(2, -1)
        kept = [pair for pair in test if pair.example_index not in asked.left_out]
        more = {
            **model.description,
            **text_format.description(),
            **extra,
            "eval_order_agreement": float(((p[0] > 0.5) == (p[1] > 0.5)).mean()),
        }
        write_evaluation(path, folder, kept, p.mean(0), asked.left_out, more)

    for_each_distribution(arguments, tests, evaluate_one)
