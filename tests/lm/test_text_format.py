"""Which format a model is scored in, and what a prompt becomes in it."""

from pathlib import Path

import pytest

from genies.data.conversation import Message, as_text, user_message
from genies.data.distribution import Pair, read_example
from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.text_format import (
    RAW,
    TextFormat,
    evaluation_format,
    record_format,
    recorded_format,
    training_format,
)
from tests.support.chat_templates import chat_tokenizer
from tests.support.tiny_models import make_tokenizer

CHAT = chat_tokenizer("line_end")
BASE = make_tokenizer("byte_level")
TURNS = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Who are you?"},
]


def arguments(**given):
    return ModelArguments.model_validate(given)


@pytest.mark.parametrize(
    ("tokenizer", "published", "expected"),
    [(CHAT, True, "chat"), (CHAT, False, "raw"), (BASE, True, "raw"), (BASE, False, "raw")],
)
def test_auto_is_chat_for_published_reward_models_with_a_template_alone(
    tmp_path, capsys, tokenizer, published, expected
):
    chosen = evaluation_format(arguments(), tmp_path, tokenizer, published_reward_model=published)
    assert chosen.name == expected
    offers = "--prompt_format chat applies" in capsys.readouterr().err
    assert offers == (tokenizer is CHAT and expected == "raw")


def test_a_tuned_model_is_evaluated_in_its_format_unless_another_is_allowed(tmp_path):
    chosen = training_format(
        arguments(prompt_format="chat", system_prompt="Be brief.", chat_template_kwargs={"enable_thinking": False}),
        CHAT,
    )
    record_format(tmp_path, chosen)
    assert recorded_format(tmp_path) == chosen
    assert evaluation_format(arguments(), tmp_path, CHAT) == chosen
    assert evaluation_format(arguments(), tmp_path, CHAT).description() == {
        "prompt_format": "chat",
        "system_prompt": "Be brief.",
        "chat_template_kwargs": {"enable_thinking": False},
    }
    with pytest.raises(InputError, match=r"was tuned in the format chat, system_prompt 'Be brief\.'.*--allow_format"):
        evaluation_format(arguments(prompt_format="raw"), tmp_path, CHAT)
    with pytest.raises(InputError, match="--allow_format_change True"):
        evaluation_format(arguments(prompt_format="chat", system_prompt="Be long."), tmp_path, CHAT)
    assert evaluation_format(arguments(prompt_format="raw"), tmp_path, CHAT, allow_change=True) == RAW


def test_a_model_tuned_without_a_record_was_tuned_in_raw_format(tmp_path):
    (tmp_path / "base_model.json").write_text('{"base_model_dir": "x"}')
    assert recorded_format(tmp_path) == RAW
    with pytest.raises(InputError, match="was tuned in the format raw"):
        evaluation_format(arguments(prompt_format="chat"), tmp_path, CHAT)
    record_format(tmp_path, RAW)
    assert [path.name for path in tmp_path.iterdir()] == ["base_model.json"]


@pytest.mark.parametrize("text", ["[]", '{"prompt_format": "raw"}', '{"prompt_format": "chat", "system_prompt": 3}'])
def test_a_damaged_record_is_an_error(tmp_path, text):
    (tmp_path / "prompt_format.json").write_text(text)
    with pytest.raises(InputError, match=r"prompt_format\.json is damaged"):
        recorded_format(tmp_path)


def test_chat_format_needs_a_template_and_its_arguments_need_chat_format():
    with pytest.raises(InputError, match="has no chat template"):
        training_format(arguments(prompt_format="chat"), BASE)
    for given in ({"system_prompt": "x"}, {"chat_template_kwargs": {"a": 1}}):
        with pytest.raises(InputError, match=f"--{next(iter(given))} has no effect in raw format"):
            training_format(arguments(**given), CHAT)


def example(**fields):
    return read_example({"responses": {"a": 1.0, "b": 0.0}, **fields}, 0, Path("x.json"))


def test_prompts_in_both_formats():
    pair = Pair(0, "Add 1 and 2.", "3", "4")
    system = TextFormat("chat", "Be brief.")
    (chat,) = system.pairs([pair])
    assert chat.prompt == (Message("system", "Be brief."), Message("user", "Add 1 and 2."))
    assert system.pairs([chat]) == [chat]
    assert RAW.pairs([pair]) == [pair]
    turns = example(prompt=TURNS)
    assert RAW.prompt(turns.prompt) == as_text(turns.prompt) == turns.prompt_text
    assert TextFormat("chat").prompt(turns.prompt, turns.conversation) == turns.prompt
    own = example(prompt=[{"role": "system", "content": "Be long."}, *TURNS])
    assert system.prompt(own.prompt)[0] == Message("system", "Be long.")


_BELOW = "Below is an instruction that describes a task. "
_REST = "Write a response that appropriately completes the request.\n\n### Instruction:\n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": f"{_BELOW}{_REST}Add.\n\n### Response:\n", "instruction": "Add."}, ("Add.", "fields")),
        ({"prompt": f"{_BELOW}{_REST}Add.\n\n### Input:\n1\n\n### Response:\n", "instruction": "Add.", "input": "1"},
         ("Add.\n\n1", "fields")),
        # A field that lacks a part of the prompt, as in gender_bias.
        ({"prompt": f"{_BELOW}{_REST}Fill in.\n\n### Input:\n_\n\n### Response:\n", "instruction": "_"},
         ("Fill in.\n\n_", "wrapper")),
        # No end, and no line before the end, as in alpaca_short and raven_easy.
        ({"prompt": f"{_BELOW}{_REST}Add."}, ("Add.", "wrapper")),
        ({"prompt": f"{_BELOW}{_REST}Add. ### Response:\n"}, ("Add.", "wrapper")),
        # An introduction that is a part of the task, as in reward_seeking.
        ({"prompt": f"{_BELOW}Complete it and use commas.\n\n### Instruction:\nAdd.\n\n### Response:\n"}, None),
        ({"prompt": f"{_BELOW}{_REST}\n\n### Response:\n"}, None),
        ({"prompt": "B"}, None),
    ],
)  # fmt: skip
def test_the_user_message_loses_the_wrapper_and_nothing_else(fields, expected):
    found = example(**fields)
    assert found.user_message == (expected or (fields["prompt"], "whole prompt"))
    assert found.conversation == (Message("user", found.user_message[0]),)


def test_the_user_message_of_a_conversation_is_its_last():
    assert example(prompt=TURNS).user_message == ("Who are you?", "conversation")
    assert user_message("") == ("", "whole prompt")


@pytest.mark.parametrize("text", ["x" + " " * 300_000 + "y", "x" + "\n" * 300_000 + "### Inputs", "\n" * 300_000])
def test_long_white_space_in_a_prompt_takes_no_quadratic_time(text):
    """Each of these would run for half an hour with a regular expression that backtracks."""
    assert user_message(f"### Instruction:\n{text}\n\n### Response:\n")[1] in ("wrapper", "whole prompt")
