"""Templates: the text around a prompt, and the text of a conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from genies.data.conversation import Message
from genies.errors import InputError
from genies.files import is_unicode

DEFAULT = r"### Instruction:\n{prompt}\n\n### Response:\n"

_PLACEHOLDER = re.compile(r"\{(role|content)\}")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}


@dataclass(frozen=True, slots=True)
class Template:
    """The text that a model reads for a prompt. Braces other than the placeholders are literal."""

    prompt: str
    """Contains {prompt} once."""
    message: str | None = None
    """One turn of a conversation with several turns, to convert it to a text. Contains {role} and {content} once each.
    None keeps such conversations as messages."""

    def fill(self, prompt: str) -> str:
        before, _, after = self.prompt.partition("{prompt}")
        return before + prompt + after

    def conversation(self, messages: Sequence[Message]) -> str:
        """The text of a conversation: only the content of a single message, otherwise one turn after the other."""
        if len(messages) == 1 or self.message is None:
            return "\n\n".join(message.content for message in messages)
        return "".join(_PLACEHOLDER.sub(partial(_field, each), self.message) for each in messages)


def _field(message: Message, placeholder: re.Match[str]) -> str:
    return message.role if placeholder[1] == "role" else message.content


def make_template(prompt: str, message: str | None = None) -> Template:
    r"""A template from command-line text, in which \n is a line end, \t a tab and \\ a backslash. Raises InputError."""
    message = None if message is None else _checked("--message_template", message, ("{role}", "{content}"))
    return Template(_checked("--template", prompt, ("{prompt}",)), message)


def _checked(argument: str, text: str, placeholders: tuple[str, ...]) -> str:
    for placeholder in placeholders:
        if text.count(placeholder) != 1:
            raise InputError(
                f"{argument}: expected {placeholder} once, got it {text.count(placeholder)} times in {text!r}"
            )
    if not is_unicode(text):
        raise InputError(f"{argument}: is not UTF-8 text")
    return re.sub(r"\\[nt\\]", lambda match: _ESCAPES[match[0]], text)
