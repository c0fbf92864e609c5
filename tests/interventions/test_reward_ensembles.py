"""reward_ensemble and warm against the members' own forward passes and an average of weights by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genies.command_line import parse
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm import forward
from genies.lm.text import encode
from genies.methods.training import ensembles
from genies.methods.training.arguments import EnsembleArguments
from genies.methods.training.weight_averaging import average_adapters
from tests.support.chat_templates import chat_tokenizer
from tests.support.reward_examples import evaluate, plain_reward, train_items, write_distribution
from tests.support.scripts import train
from tests.support.tiny_models import make_network

QUICK: dict[str, Any] = {
    "num_train_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.02, "num_members": 2, "lora_rank": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=5, responses=3)


def plain_margins(base: Path, adapter: Path, source: Path) -> Any:
    """The rewards [pairs, 2] by PEFT's own forward passes."""
    network = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, dtype=torch.float32, pad_token_id=0
    )
    tuned = PeftModel.from_pretrained(network, adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    found = []
    with torch.inference_mode():
        for pair in pairs(Distribution(source).test):
            texts = encode(tokenizer, [(pair.prompt, pair.best), (pair.prompt, pair.worse)])
            found.append([float(plain_reward(tuned, text.ids)) for text in texts])
    return np.array(found)


def test_rewards_are_combined_as_by_hand_and_disagreement_is_their_spread(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    train("reward_ensemble", base, source, tmp_path / "tuned", **QUICK)
    folders = [tmp_path / "tuned" / f"member-{number}" for number in range(2)]
    centres = []
    for folder in folders:
        lines = (folder / "training_log.jsonl").read_text().splitlines()
        centres.append(np.mean([json.loads(line)["mean_score"] for line in lines]))
    rewards = np.stack([plain_margins(base, folder, source) - c for folder, c in zip(folders, centres, strict=True)])
    margins = rewards[:, :, 0] - rewards[:, :, 1]
    assert np.abs(margins[0] - margins[1]).max() > 1e-2
    for combine, values in (("mean", rewards.mean(0)), ("worst", rewards.min(0))):
        [found] = evaluate("reward_ensemble", tmp_path / "tuned", [source], tmp_path, combine=combine)
        expected = 1 / (1 + np.exp(values[:, 1] - values[:, 0]))
        assert found["eval_probabilities"] == pytest.approx(list(expected), abs=1e-4)
        assert found["eval_disagreements"] == pytest.approx(list(np.abs(margins[0] - margins[1]) / 2), abs=1e-4)
        assert found["eval_disagreement"] == pytest.approx(float(np.mean(found["eval_disagreements"])))
        assert found["eval_member_accuracies"] == pytest.approx(list((margins > 0).mean(1)))


def test_members_differ_a_seed_repeats_them_and_a_killed_training_keeps_them(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, weights = tiny_model_dir("llama"), "adapter_model.safetensors"
    train("reward_ensemble", base, source, tmp_path / "one", **QUICK)
    files = [(tmp_path / "one" / f"member-{number}" / weights).read_bytes() for number in range(2)]
    assert files[0] != files[1]
    run, done = ensembles.tune_lora_reward, []

    def stop_at_second(*given: Any, **more: Any) -> None:
        done.append(given[1].output_dir.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        run(*given, **more)

    monkeypatch.setattr(ensembles, "tune_lora_reward", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        train("reward_ensemble", base, source, tmp_path / "two", **QUICK)
    train("reward_ensemble", base, source, tmp_path / "two", **QUICK)
    assert done == ["checkpoint-member-0", "checkpoint-member-1", "checkpoint-member-1"]
    assert [(tmp_path / "two" / f"member-{number}" / weights).read_bytes() for number in range(2)] == files
    assert not list((tmp_path / "two").glob("checkpoint-*"))


def test_four_members_run_the_model_on_four_times_the_tokens_of_one(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, tokens = tiny_model_dir("llama"), [0]
    call = forward.call

    def counted(model: Any, network: Any, batch: Any) -> Any:
        tokens[0] += batch.ids.numel()
        return call(model, network, batch)

    monkeypatch.setattr(forward, "call", counted)
    options = {name: value for name, value in QUICK.items() if name != "num_members"}
    used = []
    for intervention in ("lora_fine_tune", "reward_ensemble"):
        train(intervention, base, source, tmp_path / intervention, **options)
        used.append(tokens[0])
        evaluate(intervention, tmp_path / intervention, [source], tmp_path)
        used.append(tokens[0] - used[-1])
        tokens[0] = 0
    one_training, one_evaluation, four_trainings, four_evaluations = used
    assert 0 < four_trainings <= 4.2 * one_training
    assert 0 < four_evaluations <= 4.2 * one_evaluation


@pytest.mark.parametrize("intervention", ["reward_ensemble", "warm"])
def test_the_format_of_training_is_that_of_evaluation(intervention: str, source: Path, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer("line_end")
    for part in (make_network("llama", len(tokenizer)), tokenizer):
        part.save_pretrained(tmp_path / "model")
    train(intervention, tmp_path / "model", source, tmp_path / "tuned", prompt_format="chat", **QUICK)
    [found] = evaluate(intervention, tmp_path / "tuned", [source], tmp_path)
    assert found["prompt_format"] == "chat"
    with pytest.raises(InputError, match="tuned in the format chat"):
        evaluate(intervention, tmp_path / "tuned", [source], tmp_path, prompt_format="raw")


def test_an_ensemble_is_not_uploaded(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"push_to_hub.*members are not uploaded"):
        parse(EnsembleArguments, train_items(tmp_path, source, tmp_path, push_to_hub="a/b"))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_average_adapter_has_the_average_of_the_merged_weights(
    family: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir(family)
    options = {name: value for name, value in QUICK.items() if name != "num_members"}
    folders = [train("lora_fine_tune", base, source, tmp_path / str(seed), seed=seed, **options) for seed in (1, 2, 3)]

    def merged(adapter: Path) -> dict[str, torch.Tensor]:
        network = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
        return dict(PeftModel.from_pretrained(network, adapter).merge_and_unload().state_dict())

    (tmp_path / "warm").mkdir()
    average_adapters(folders, tmp_path / "warm", "products")
    found, members = merged(tmp_path / "warm"), [merged(folder) for folder in folders]
    moved = 0.0
    for name, value in found.items():
        expected = torch.stack([member[name] for member in members]).mean(0)
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-4)
        moved = max(moved, float((expected - members[0][name]).abs().max()))
    assert moved > 1e-2


@pytest.mark.parametrize("average", ["products", "factors"])
def test_warm_is_the_average_of_its_members_and_costs_one_model_in_evaluation(
    average: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tiny_model_dir("llama")
    monkeypatch.setattr("genies.methods.training.weight_averaging.remove_checkpoints", lambda folder: None)
    tuned = train("warm", base, source, tmp_path / "tuned", average=average, **QUICK)
    config = json.loads((tuned / "adapter_config.json").read_text())
    assert config["r"] == (8 if average == "products" else 4)
    heads, products = [], []
    for number in range(2):
        tensors = load_file(tuned / f"checkpoint-member-{number}" / "adapter_model.safetensors")
        heads.append(next(value for name, value in tensors.items() if name.endswith("score.weight")))
        first = min(name for name in tensors if ".lora_A." in name)
        products.append((tensors[first], tensors[first.replace("lora_A", "lora_B")]))
    assert not torch.equal(heads[0], heads[1])
    ours = load_file(tuned / "adapter_model.safetensors")
    assert torch.equal(next(v for n, v in ours.items() if n.endswith("score.weight")), torch.stack(heads).mean(0))
    found = ours[first.replace("lora_A", "lora_B")] @ ours[first]
    if average == "products":
        expected = torch.stack([b @ a for a, b in products]).mean(0)
    else:
        expected = torch.stack([b for _, b in products]).mean(0) @ torch.stack([a for a, _ in products]).mean(0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    margins = plain_margins(base, tuned, source)
    [evaluated] = evaluate("warm", tuned, [source], tmp_path)
    assert evaluated["eval_probabilities"] == pytest.approx(
        list(1 / (1 + np.exp(margins[:, 1] - margins[:, 0]))), abs=1e-4
    )
