"""Conversations as one text, with `Human:` or `Assistant:` before each turn, as in HH-RLHF (Bai et al. 2022)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genies.data.conversation import Message

_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def parse(text: str) -> tuple[Message, ...]:
    r"""The turns of a transcript; empty if it is none. Consecutive turns of one speaker are joined.

    >>> parse("\n\nHuman: Hello\n\nAssistant: Hi.")
    (Message(role='user', content='Hello'), Message(role='assistant', content='Hi.'))
    """
    marks = list(_TURN.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns: list[Message] = []
    for mark, end in zip(marks, ends, strict=True):
        role, content = _ROLES[mark[1]], text[mark.end() : end].strip()
        if turns and turns[-1].role == role:
            turns[-1] = Message(role, f"{turns[-1].content}\n\n{content}")
        else:
            turns.append(Message(role, content))
    return tuple(turns)


def split_where_they_part(
    one: Sequence[Message], other: Sequence[Message]
) -> tuple[tuple[Message, ...], str, str, bool]:
    """The common turns before the assistant's turn in which two conversations differ, what follows in each, and whether
    they part before the last turn. What follows an earlier turn is rendered as one text."""
    common = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    if common and (common >= len(one) or one[common].role != "assistant"):
        common -= 1  # the response must be the assistant's
    while common and one[common].role != "assistant":
        common -= 1
    early = common < len(one) - 1 or common < len(other) - 1
    return tuple(one[:common]), _rest(one[common:]), _rest(other[common:]), early


_SPEAKERS = {role: speaker for speaker, role in _ROLES.items()}


def _rest(turns: Sequence[Message]) -> str:
    if not turns:
        return ""
    first, *more = turns
    return first.content + "".join(f"\n\n{_SPEAKERS[turn.role]}: {turn.content}" for turn in more)
