"""Every intervention in chat format: what it scores is the rendered conversation, in evaluation as in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genies.errors import InputError
from genies.lm.model import load_tokenizer
from tests.support.chat_templates import chat_tokenizer
from tests.support.plain import plain_log_probability
from tests.support.scripts import evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import make_network

SYSTEM = "Be warm."
CHAT: dict[str, Any] = {"prompt_format": "chat", "system_prompt": SYSTEM}
QUICK = {"num_train_steps": 2, "per_device_train_batch_size": 2}
HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Water is warm."}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "model"
    tokenizer = chat_tokenizer("line_end")
    make_network("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts that are texts with a wrapper, texts without one, and conversations."""

    def examples(count: int, seed: int) -> list[dict[str, Any]]:
        found = planted_examples(count, seed)
        for place, example in enumerate(found):
            if place % 3 == 1:
                example["prompt"] = f"### Instruction:\n{example['prompt']}\n\n### Response:\n"
            elif place % 3 == 2:
                example["prompt"] = [*HELLO, {"role": "user", "content": example["prompt"]}]
        return found

    return write_distribution(tmp_path_factory.mktemp("data") / "d", examples(9, 0), examples(6, 1))


def messages_of(example: dict[str, Any], system: str = SYSTEM) -> list[dict[str, str]]:
    prompt = example["prompt"]
    if isinstance(prompt, str):
        text = prompt.removeprefix("### Instruction:\n").removesuffix("\n\n### Response:\n")
        prompt = [{"role": "user", "content": text}]
    return [{"role": "system", "content": system}, *prompt]


def by_hand(folder: Path, tokenizer: Any, messages: list[dict[str, str]], response: str) -> float:
    """Mean log-probability of the response and its end of turn, after the generation prompt."""
    start = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before = tokenizer(start, add_special_tokens=False)["input_ids"]
    whole = tokenizer(f"{start}{response}<|end|>", add_special_tokens=False)["input_ids"]
    first = next((at for at, pair in enumerate(zip(before, whole, strict=False)) if pair[0] != pair[1]), len(before))
    return plain_log_probability(folder, whole, range(first, len(whole))) / (len(whole) - first)


def test_zero_shot_and_few_shot_equal_plain_forward_passes(model: Path, data: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    test = json.loads((data / "test.json").read_text())
    source = json.loads((data / "train.json").read_text())
    [zero] = evaluate("zero_shot", model, [data], tmp_path / "zero", **CHAT)
    assert (zero["prompt_format"], zero["system_prompt"]) == ("chat", SYSTEM)
    tuned = train("few_shot", model, data, tmp_path / "few", num_shots=2, **CHAT)
    [few] = evaluate("few_shot", tuned, [data], tmp_path / "few", **CHAT)
    pool = json.loads((tuned / "demonstrations.json").read_text())["pool"]
    known = [{"prompt": messages_of(each)[1:], "response": next(iter(_sorted(each)))} for each in source]
    assert all(each in known for each in pool)
    turns = [turn for each in pool for turn in (*each["prompt"], {"role": "assistant", "content": each["response"]})]
    for found, shown in ((zero, []), (few, turns)):
        expected = []
        for example in test:
            system, *rest = messages_of(example)
            scores = [by_hand(model, tokenizer, [system, *shown, *rest], text) for text in _sorted(example)]
            expected.append(1 / (1 + np.exp(scores[1] - scores[0])))
        assert found["eval_probabilities"] == pytest.approx(expected, abs=2e-4)


def _sorted(example: dict[str, Any]) -> list[str]:
    return sorted(example["responses"], key=lambda text: -float(example["responses"][text]))


@pytest.mark.parametrize(
    ("intervention", "given"),
    [
        ("mms", {}),
        ("lat_stim_2", {}),
        ("cra", {}),
        ("ccs", {"num_train_steps": 5}),
        ("lora_fine_tune", QUICK),
        ("log_prob_classify", QUICK),
        ("few_shot", {"num_shots": 2}),
    ],
)
def test_a_tuned_model_remembers_its_format(
    intervention: str, given: dict[str, Any], model: Path, data: Path, tmp_path: Path
) -> None:
    tuned = train(intervention, model, data, tmp_path / "tuned", **given, **CHAT)
    [found] = evaluate(intervention, tuned, [data], tmp_path / "as tuned", no_cache=True)
    assert (found["prompt_format"], found["system_prompt"]) == ("chat", SYSTEM)
    with pytest.raises(InputError, match=f"was tuned in the format chat, system_prompt '{SYSTEM}'"):
        evaluate(intervention, tuned, [data], tmp_path / "raw", no_cache=True, prompt_format="raw")
    [raw] = evaluate(
        intervention, tuned, [data], tmp_path / "raw", no_cache=True, prompt_format="raw", allow_format_change=True
    )
    assert raw["prompt_format"] == "raw"
    assert raw["eval_probabilities"] != found["eval_probabilities"]


def test_a_whole_reward_model_gives_the_rewards_of_its_model_card(model: Path, data: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    classifier = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1).eval()
    tokenizer = load_tokenizer(model)
    classifier.config.pad_token_id = 0
    classifier.save_pretrained(tmp_path / "rewards")
    tokenizer.save_pretrained(tmp_path / "rewards")
    [found] = evaluate("full_fine_tune", tmp_path / "rewards", [data], tmp_path)
    assert found["prompt_format"] == "chat"
    expected = []
    for example in json.loads((data / "test.json").read_text()):
        rewards = []
        for text in _sorted(example):
            conversation = [*messages_of(example)[1:], {"role": "assistant", "content": text}]
            inputs = tokenizer.apply_chat_template(conversation, return_tensors="pt", return_dict=True)
            rewards.append(classifier(**inputs).logits[0, 0].item())
        expected.append(1 / (1 + np.exp(rewards[1] - rewards[0])))
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    assert len(set(found["eval_probabilities"])) > 1


def test_what_a_template_refuses_is_named_with_the_example(data: Path, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer("strict")
    make_network("llama", len(tokenizer)).save_pretrained(tmp_path / "strict")
    tokenizer.save_pretrained(tmp_path / "strict")
    with pytest.raises(InputError, match=r"d, example 0: the chat template of .* fails \(System role not supported\)"):
        evaluate("zero_shot", tmp_path / "strict", [data], tmp_path, **CHAT)
    [found] = evaluate("zero_shot", tmp_path / "strict", [data], tmp_path, prompt_format="chat")
    assert found["prompt_format"] == "chat"
