"""Templates: the text around a prompt, and the text of a conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from genies.errors import InputError
from genies.files import is_unicode

DEFAULT = r"### Instruction:\n{prompt}\n\n### Response:\n"
DEFAULT_MESSAGE = r"{role}: {content}\n"

_PLACEHOLDER = re.compile(r"\{(role|content)\}")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Template:
    """The text that a model reads for a prompt. Braces other than the placeholders are literal."""

    prompt: str
    """Contains {prompt} once."""
    message: str
    """One turn of a conversation with several turns. Contains {role} and {content} once each."""

    def fill(self, prompt: str) -> str:
        before, _, after = self.prompt.partition("{prompt}")
        return before + prompt + after

    def conversation(self, messages: Sequence[Message]) -> str:
        """The text of a conversation: only the content of a single message, otherwise one turn after the other."""
        if len(messages) == 1:
            return messages[0].content
        return "".join(_PLACEHOLDER.sub(partial(_field, each), self.message) for each in messages)


def _field(message: Message, placeholder: re.Match[str]) -> str:
    return message.role if placeholder[1] == "role" else message.content


def make_template(prompt: str, message: str) -> Template:
    r"""A template from command-line text, in which \n is a line end, \t a tab and \\ a backslash. Raises InputError."""
    return Template(
        _checked("--template", prompt, ("{prompt}",)), _checked("--message_template", message, ("{role}", "{content}"))
    )


def _checked(argument: str, text: str, placeholders: tuple[str, ...]) -> str:
    for placeholder in placeholders:
        if text.count(placeholder) != 1:
            raise InputError(
                f"{argument}: expected {placeholder} once, got it {text.count(placeholder)} times in {text!r}"
            )
    if not is_unicode(text):
        raise InputError(f"{argument}: is not UTF-8 text")
    return re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], text)
