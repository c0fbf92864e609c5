"""The format of texts for a model: raw, or the model's own chat template. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from genies.adapter_base import BASE_RECORD, REWARD_RECORD
from genies.data.conversation import Conversation, Message, Prompt, as_text
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.arguments import ModelArguments

FILE_NAME = "prompt_format.json"
"""In a tuned model's folder if it was tuned in chat format."""


@dataclass(frozen=True)
class TextFormat:
    """How prompts and responses become text."""

    name: Literal["raw", "chat"] = "raw"
    """raw: prompt and response one after the other. chat: the conversation as the model's chat template renders it."""
    system_prompt: str | None = None
    """System message of conversations that have none; chat format only."""
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template."""

    def prompt(self, prompt: Prompt, conversation: Conversation | None = None) -> Prompt:
        """A text in raw format, a conversation in chat format. A prompt that is in this format stays as it is.

        conversation: what a prompt that is a text is in chat format (default: the user's message).
        """
        if self.name == "raw":
            return as_text(prompt)
        if isinstance(prompt, str):
            prompt = conversation or (Message("user", prompt),)
        if self.system_prompt is None or prompt[0].role == "system":
            return prompt
        return (Message("system", self.system_prompt), *prompt)

    def pairs(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Pairs with prompts in this format."""
        return [replace(pair, prompt=self.prompt(pair.prompt, pair.conversation), conversation=None) for pair in pairs]

    def description(self) -> dict[str, Any]:
        """The keys of an evaluation file that name the format."""
        if self.name == "raw":
            return {"prompt_format": self.name}
        system = {} if self.system_prompt is None else {"system_prompt": self.system_prompt}
        kwargs = {"chat_template_kwargs": dict(self.template_kwargs)} if self.template_kwargs else {}
        return {"prompt_format": self.name, **system, **kwargs}

    def __str__(self) -> str:
        more = [f"{name} {value!r}" for name, value in self.description().items() if name != "prompt_format"]
        return ", ".join([self.name, *more])


RAW = TextFormat()


def training_format(arguments: ModelArguments, tokenizer: Any) -> TextFormat:
    """The format that the arguments of a training select; auto is raw.

    Raises InputError if the tokenizer has no chat template and chat is wanted, and for arguments of chat format in raw
    format.
    """
    return _chosen(arguments, tokenizer, "raw")


def chat_format(arguments: ModelArguments, tokenizer: Any) -> TextFormat:
    """Chat format, for methods that need it. Raises InputError if the tokenizer has no chat template."""
    return _chosen(arguments, tokenizer, "chat")


def evaluation_format(
    arguments: ModelArguments,
    model_dir: Path,
    tokenizer: Any,
    allow_change: bool = False,
    published_reward_model: bool = False,
) -> TextFormat:
    """The format of an evaluation of the model in `model_dir`.

    A tuned model is evaluated in the format in which it was tuned. For other models, auto is chat for a
    `published_reward_model` with a chat template, else raw. Raises InputError for another format than the tuned
    model's without `allow_change`, and as `training_format` does.
    """
    recorded = recorded_format(model_dir)
    if recorded is None:
        has_template = getattr(tokenizer, "chat_template", None) is not None
        return _chosen(arguments, tokenizer, "chat" if published_reward_model and has_template else "raw")
    if arguments.prompt_format == "auto" and not arguments.chat_options():
        return recorded
    chosen = _chosen(arguments, tokenizer, recorded.name)
    if chosen != recorded and not allow_change:
        raise InputError(
            f"--prompt_format {chosen}: the model in {model_dir} was tuned in the format {recorded}; leave the "
            "argument out, or add --allow_format_change True to evaluate it in another format"
        )
    return chosen


def _chosen(arguments: ModelArguments, tokenizer: Any, auto: Literal["raw", "chat"]) -> TextFormat:
    template = getattr(tokenizer, "chat_template", None)
    name = auto if arguments.prompt_format == "auto" else arguments.prompt_format
    if name == "chat":
        _check_template(tokenizer, "--prompt_format")
        return TextFormat("chat", arguments.system_prompt, dict(arguments.chat_template_kwargs or {}))
    if given := arguments.chat_options():
        raise InputError(f"--{given[0]} has no effect in raw format; add --prompt_format chat, or leave it out")
    if template is not None and arguments.prompt_format == "auto":
        print("prompt format: raw; the model has a chat template, which --prompt_format chat applies", file=sys.stderr)
    return RAW


def _check_template(tokenizer: Any, argument: str) -> None:
    if getattr(tokenizer, "chat_template", None) is None:
        raise InputError(
            f"{argument} chat: the tokenizer in {tokenizer.name_or_path} has no chat template; expected "
            "`chat_template` in its tokenizer_config.json or a file chat_template.jinja, as instruct models have; "
            f"use {argument} raw for a base model"
        )


def library_format(
    tokenizer: Any, name: str, system_prompt: str | None, template_kwargs: Mapping[str, Any] | None
) -> TextFormat:
    """The format of a call from Python; raises InputError that names the argument."""
    if name == "chat":
        _check_template(tokenizer, "prompt_format")
        return TextFormat("chat", system_prompt, dict(template_kwargs or {}))
    if name != "raw":
        raise InputError(
            "prompt_format: expected 'raw' (prompt and response as they are, one after the other) or 'chat' (rendered "
            f"by the tokenizer's chat template), got {name!r}"
        )
    for argument, value in (("system_prompt", system_prompt), ("chat_template_kwargs", template_kwargs)):
        if value is not None:
            raise InputError(f"{argument}: has no effect in raw format; add prompt_format='chat', or leave it out")
    return RAW


def record_format(folder: Path, text_format: TextFormat) -> None:
    """Write the format in which a model was tuned to its folder; nothing for raw format."""
    if text_format.name == "chat":
        write_json(folder / FILE_NAME, text_format.description())


def recorded_format(folder: Path) -> TextFormat | None:
    """The format in which the model in a folder was tuned; raw without a record; None for an untuned model."""
    path = folder / FILE_NAME
    if not path.is_file():
        return RAW if any((folder / name).is_file() for name in (BASE_RECORD, REWARD_RECORD)) else None
    value = read_json(path, "record of the prompt format")
    system = value.get("system_prompt") if isinstance(value, dict) else 0
    kwargs = value.get("chat_template_kwargs", {}) if isinstance(value, dict) else 0
    name = value.get("prompt_format") if isinstance(value, dict) else None
    if name != "chat" or not isinstance(system, str | None) or not isinstance(kwargs, dict):
        raise InputError(f"{path} is damaged: expected an object with prompt_format chat; train again")
    return TextFormat("chat", system, kwargs)
