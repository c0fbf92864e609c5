"""Render conversations with a model's chat template and locate the response in the result. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genies.data.conversation import Conversation
from genies.errors import InputError

_PLACEHOLDER = "\ue000response\ue001"
"""Stands for the response when a template is rendered to find out what it writes around it: private-use characters,
which no other text contains."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation with its response as text."""

    text: str
    start: int
    """Where the response begins in `text`, after everything that the template writes before it."""
    stop: int
    """Where the response ends in `text`."""


class RenderingError(InputError):
    """A conversation cannot be rendered, or its response cannot be located."""

    def __init__(self, place: int, message: str) -> None:
        super().__init__(message)
        self.place = place
        """Which of the texts it is."""


def render(
    tokenizer: Any, texts: Sequence[tuple[int, Conversation, str]], template_kwargs: Mapping[str, Any]
) -> list[Rendered]:
    """Each conversation of (place, conversation, response) with the response as the assistant's turn.

    The template is also rendered with a placeholder instead of the response. What it writes before and after must be
    the same, and what remains is the response, from which a template may remove white space at both ends. Raises
    RenderingError with the place otherwise, for example if a template moves a part of the response to another place,
    if the template refuses the conversation, and if the prompt is a conversation that was rendered before. A response
    that ends with the end-of-turn token of the template gets no second one.
    """
    around: dict[Conversation, tuple[str, str]] = {}
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    found = []
    for place, conversation, response in texts:
        if conversation not in around:
            around[conversation] = _around(tokenizer, place, conversation, template_kwargs)
            _check_not_rendered(tokenizer, place, conversation, template_kwargs, special)
        before, after = around[conversation]
        end = next((token for token in special if after.lstrip().startswith(token)), "")
        if end and response.rstrip().endswith(end):
            response = response.rstrip().removesuffix(end)
        text = _apply(tokenizer, place, conversation, response, template_kwargs)
        start, stop = len(before), len(text) - len(after)
        shown = text[start:stop]
        fits = start <= stop and text.startswith(before) and text.endswith(after)
        if not fits or shown.strip() != response.strip() or shown not in response:
            raise RenderingError(
                place,
                f"the chat template of {tokenizer.name_or_path} changes the response, so that it cannot be located in "
                f"the rendered conversation: {response[:60]!r}; leave the example out, or use --prompt_format raw",
            )
        found.append(Rendered(text, start, stop))
    return found


def _around(
    tokenizer: Any, place: int, conversation: Conversation, template_kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """What the template writes before and after the response."""
    text = _apply(tokenizer, place, conversation, _PLACEHOLDER, template_kwargs)
    if text.count(_PLACEHOLDER) != 1:
        raise RenderingError(
            place,
            f"the chat template of {tokenizer.name_or_path} writes the unchanged response {text.count(_PLACEHOLDER)} "
            "times into the rendered conversation; expected once; use --prompt_format raw",
        )
    before, _, after = text.partition(_PLACEHOLDER)
    return before, after


def _check_not_rendered(
    tokenizer: Any,
    place: int,
    conversation: Conversation,
    template_kwargs: Mapping[str, Any],
    special: Sequence[str],
) -> None:
    """Refuse a last message that ends with what the template writes before a response, special tokens included: it was
    rendered before, and would be rendered twice."""
    last = conversation[-1].content.strip()
    if not any(token in last for token in special):
        return
    from jinja2 import TemplateError

    messages = [message._asdict() for message in conversation]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **template_kwargs)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return  # not needed to score a response
    opening = text[text.rfind(last) + len(last) :].strip() if last in text else ""
    if last.endswith(opening) and any(token in opening for token in special):
        raise RenderingError(
            place,
            f"the prompt ends with {opening!r}, which the chat template of {tokenizer.name_or_path} writes itself, so "
            "it would be rendered twice; expected the conversation, as a list of messages or as the user's message; "
            "for a prompt that is rendered use --prompt_format raw",
        )


def _apply(
    tokenizer: Any, place: int, conversation: Conversation, response: str, template_kwargs: Mapping[str, Any]
) -> str:
    from jinja2 import TemplateError

    messages = [*(message._asdict() for message in conversation), {"role": "assistant", "content": response}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **template_kwargs)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise RenderingError(
            place, f"the chat template of {tokenizer.name_or_path} fails ({error}); use --prompt_format raw"
        ) from None
    assert isinstance(text, str)
    return text
