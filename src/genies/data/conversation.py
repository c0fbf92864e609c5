"""Prompts: a text, or a conversation that ends with the user's turn. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from genies.errors import InputError
from genies.files import is_unicode, json_kind

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    """system, user or assistant."""
    content: str


Conversation = tuple[Message, ...]
Prompt = str | Conversation
"""What a response answers. A conversation ends with the user's turn; the response is the assistant's next turn."""

UserMessageOrigin = Literal["conversation", "fields", "wrapper", "whole prompt"]
"""How the user's message of chat format was found: the prompt is a conversation, the message is that of the example's
fields `instruction` and `input`, a known wrapper was removed from the prompt, or the whole prompt is the message."""

_BEGINNING = re.compile(
    r"\A(?:Below is an instruction that describes a task"
    r"(?:,? (?:paired with|and) an input that provides further context)?\. "
    r"(?:Write a response that appropriately completes the request|Complete the request to the best of your ability)\."
    r"\s+)?### Instruction:"
)
"""How the template of Alpaca (Taori et al. 2023) and its variants in the official distributions begin. An introduction
with other words is part of the task ("If you use all caps, you will receive $100"), so such a prompt does not match."""

_INPUT = "### Input:"
_ENDS = ("### Response:", "## Response:", "### Your response:", "## Your response:")


def read_prompt(value: Any, fault: Callable[[str], InputError]) -> Prompt:
    """The prompt in an example's field: a text, or a list of {"role": ..., "content": ...}.

    `fault` makes the InputError that is raised for any other value, from a sentence that says what was expected.
    """
    if isinstance(value, str):
        if not is_unicode(value):
            raise fault("contains half of a surrogate pair, which is not text; repair the file")
        return value
    if not isinstance(value, list):
        raise fault(f"expected text or a list of messages, got {json_kind(value)}")
    messages = tuple(_message(item, place, fault) for place, item in enumerate(value))
    if not messages or messages[-1].role != "user":
        found = f"one that ends with the role {messages[-1].role}" if messages else "an empty list"
        raise fault(f"expected a conversation that ends with the user's turn, got {found}")
    if any(each.role == "system" for each in messages[1:]):
        raise fault("expected a system message only at the beginning, got one later in the conversation")
    return messages


def _message(value: Any, place: int, fault: Callable[[str], InputError]) -> Message:
    if not isinstance(value, Mapping):
        raise fault(f"message {place}: expected an object with role and content, got {json_kind(value)}")
    if missing := next((name for name in ("role", "content") if name not in value), None):
        raise fault(f"message {place}: expected an object with role and content, got one without {missing}")
    role, content = value["role"], value["content"]
    if role not in ROLES:
        raise fault(f"message {place}: expected the role system, user or assistant, got {role!r}")
    if not isinstance(content, str):
        raise fault(f"message {place}: expected text as content, got {json_kind(content)}; only text is supported")
    if not is_unicode(content):
        raise fault(f"message {place}: contains half of a surrogate pair, which is not text; repair the file")
    return Message(role, content)


def as_json(prompt: Prompt) -> Any:
    """The prompt as it is written to a file: a text, or a list of objects with role and content."""
    return prompt if isinstance(prompt, str) else [message._asdict() for message in prompt]


_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


def as_text(prompt: Prompt) -> str:
    r"""The prompt as one text, as raw format uses it: a conversation gets a line with the role before each turn.

    >>> as_text((Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "Who are you?")))
    'User:\nHello\n\nAssistant:\nHi.\n\nUser:\nWho are you?\n\nAssistant:\n'
    """
    if isinstance(prompt, str):
        return prompt
    turns = "".join(f"{_SPEAKERS[message.role]}:\n{message.content}\n\n" for message in prompt)
    return f"{turns}{_SPEAKERS['assistant']}:\n"


def text_only(prompt: Prompt) -> str:
    r"""All words of the prompt without roles, turns separated by blank lines, for rules about text.

    >>> text_only((Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "Who?")))
    'Hello\n\nHi.\n\nWho?'
    """
    return prompt if isinstance(prompt, str) else "\n\n".join(message.content for message in prompt)


def normalized(prompt: Prompt) -> str:
    """The words of the prompt in lower case, with single spaces, for comparing data from different sources.

    >>> normalized("Name  a\\nRiver.")
    'name a river.'
    """
    return " ".join(text_only(prompt).casefold().split())


def user_message(prompt: str, instruction: Any = None, input_text: Any = None) -> tuple[str, UserMessageOrigin]:
    r"""The user's message for a prompt that is a text, and how it was found.

    A known wrapper is removed, and instruction and input are separated by a blank line. The origin is `fields` if the
    result equals the example's fields `instruction` and `input`. Fields that lack a part of the prompt, as the order to
    answer in English in spanish_input, are not used. A prompt without a known wrapper is the message as it is.

    >>> user_message("### Instruction:\nAdd them.\n\n### Input:\n1 and 2\n\n### Response:\n")
    ('Add them.\n\n1 and 2', 'wrapper')
    >>> user_message("### Instruction:\nAdd 1 and 2.\n\n### Response:\n", instruction="Add 1 and 2.")
    ('Add 1 and 2.', 'fields')
    >>> user_message("Add 1 and 2.")
    ('Add 1 and 2.', 'whole prompt')
    """
    found = _BEGINNING.match(prompt)
    body = prompt[found.end() :].strip() if found else ""
    end = next((end for end in _ENDS if body.endswith(end)), "")
    body = body.removesuffix(end).rstrip()
    if not body:
        return prompt, "whole prompt"
    before, has_input, after = body.partition(_INPUT)
    message = f"{before.rstrip()}\n\n{after.lstrip()}".strip() if has_input else body
    fields = [each.strip() for each in (instruction, input_text) if isinstance(each, str) and each.strip()]
    return message, "fields" if message == "\n\n".join(fields) else "wrapper"
