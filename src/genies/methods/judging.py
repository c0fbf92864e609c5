"""Ask a language model in chat format which of two responses is better, in both orders. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from genies.data.conversation import Conversation, Message, Prompt, as_text
from genies.data.distribution import Pair
from genies.lm.arguments import ModelArguments
from genies.lm.text_format import TextFormat
from genies.methods.protocol import ProtocolEvaluationArguments

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
