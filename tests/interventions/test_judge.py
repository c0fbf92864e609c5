"""The judge's probabilities equal plain forward passes, and the order of the two responses does not change them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from genies.errors import InputError
from tests.support.chat_templates import chat_tokenizer
from tests.support.plain import plain_log_probability
from tests.support.scripts import evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import make_network, make_tokenizer


def write_model(folder: Path, tokenizer: Any) -> Path:
    network = make_network("llama", len(tokenizer))
    network.config.max_position_embeddings = 1024
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def answer_scores(folder: Path, example: dict[str, Any], a: str, b: str) -> list[float]:
    """The log-probabilities of the answers A and B, by hand."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = example["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    shown = "\n\n".join(f"{turn['role'].capitalize()}:\n{turn['content']}" for turn in turns)
    text = (
        "Compare two responses of an assistant to the last message of a conversation.\n\n"
        f"{shown}\n\n[Response A]\n{a}\n\n[Response B]\n{b}\n\n[Question]\n"
        "Which response is better? Answer with A or B and nothing else."
    )
    start = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    before = len(tokenizer(start, add_special_tokens=False)["input_ids"])
    scores = []
    for answer in "AB":
        ids = tokenizer(f"{start}{answer}<|end|>", add_special_tokens=False)["input_ids"]
        scores.append(plain_log_probability(folder, ids, range(before, len(ids))))
    return scores


def best_and_worse(examples: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, str]]:
    for example in examples:
        best = max(example["responses"], key=example["responses"].get)
        yield from ((example, best, text) for text in example["responses"] if text != best)


def expected_probabilities(folder: Path, examples: list[dict[str, Any]]) -> list[float]:
    def first(example: dict[str, Any], a: str, b: str) -> float:
        scores = answer_scores(folder, example, a, b)
        return float(1 / (1 + np.exp(scores[1] - scores[0])))

    return [
        (first(example, best, worse) + 1 - first(example, worse, best)) / 2
        for example, best, worse in best_and_worse(examples)
    ]


def test_p_is_the_mean_over_both_orders_of_plain_log_probabilities(tmp_path: Path) -> None:
    examples = planted_examples(3, 1, responses=3)
    examples[1]["prompt"] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Who?"},
    ]
    data = write_distribution(tmp_path / "d", examples, examples)
    model = write_model(tmp_path / "model", chat_tokenizer("line_end"))
    [found] = evaluate("judge", model, [data], tmp_path)
    assert found["eval_probabilities"] == pytest.approx(expected_probabilities(model, examples), abs=1e-4)
    assert found["prompt_format"] == "chat"
    assert 0 <= found["eval_order_agreement"] <= 1
    turned = [{**each, "responses": dict(reversed(each["responses"].items()))} for each in examples]
    other = write_distribution(tmp_path / "turned", turned, turned)
    [again] = evaluate("judge", model, [other], tmp_path / "again")
    assert again["eval_accuracy"] == found["eval_accuracy"]
    assert sorted(again["eval_probabilities"]) == pytest.approx(sorted(found["eval_probabilities"]), abs=1e-5)


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    data = write_distribution(tmp_path / "d", planted_examples(2, 0), planted_examples(2, 1))
    model = write_model(tmp_path / "model", make_tokenizer("byte_level"))
    with pytest.raises(InputError, match="has no chat template"):
        evaluate("judge", model, [data], tmp_path)
    with pytest.raises(InputError, match="prompt_format"):
        evaluate("judge", model, [data], tmp_path, prompt_format="raw")


def test_the_tuned_judge_learns_the_answers_to_both_orders(tmp_path: Path) -> None:
    examples = planted_examples(4, 1)
    data = write_distribution(tmp_path / "d", examples, examples)
    model = write_model(tmp_path / "model", chat_tokenizer("line_end"))
    options = {"num_train_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 0.02, "max_grad_norm": 10}
    tuned = train("judge_tuned", model, data, tmp_path / "tuned", lora_dropout=0.0, **options)
    log = [json.loads(line) for line in (tuned / "training_log.jsonl").read_text().splitlines()]
    losses = []
    for example, best, worse in best_and_worse(examples):
        for right, (a, b) in enumerate([(best, worse), (worse, best)]):
            scores = answer_scores(model, example, a, b)
            losses.append(np.log1p(np.exp(scores[1 - right] - scores[right])))
    assert log[0]["loss"] == pytest.approx(np.mean(losses), abs=1e-4)
    assert log[-1]["accuracy"] == 1.0
    [found] = evaluate("judge_tuned", tuned, [data], tmp_path)
    assert found["eval_probabilities"] == pytest.approx(expected_probabilities(tuned, examples), abs=1e-4)
    assert found["eval_accuracy"] == 1.0
    assert found["prompt_format"] == "chat"
    with pytest.raises(InputError, match=r"tuned in the format chat|asked in chat format"):
        evaluate("judge_tuned", tuned, [data], tmp_path, prompt_format="raw")
    with pytest.raises(InputError, match="has no chat template"):
        train("judge_tuned", write_model(tmp_path / "base", make_tokenizer("byte_level")), data, tmp_path / "none")
