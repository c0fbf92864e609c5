"""Pairs with responses to other prompts, their labels, and the loss of a tie."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from genies.command_line import validate
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.files import sha256_of_file
from genies.lm.model import load_tokenizer
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.augmentation import responses_to_other_prompts
from genies.methods.training.card import NOT_IN_FINGERPRINT, training_fingerprint
from genies.methods.training.gradients import preference_loss
from genies.methods.training.pairs import read_training_data
from tests.support.reward_examples import train, write_distribution


def test_each_pair_gets_both_responses_of_one_other_pair() -> None:
    pairs = [Pair(index, f"prompt {index}", f"best {index}", f"worse {index}") for index in range(7)]
    preferred, ties = responses_to_other_prompts(pairs, seed=3)
    assert len(preferred) == 14
    assert len(ties) == 7
    others = {}
    for tie in ties:
        other = int(tie.best.removeprefix("best "))
        assert tie.worse == f"worse {other}"
        assert other != tie.example_index
        assert tie.prompt == f"prompt {tie.example_index}"
        others[tie.example_index] = other
    assert sorted(others.values()) == list(range(7))
    for pair in preferred:
        assert pair.best == f"best {pair.example_index}"
        assert pair.worse in {f"{kind} {others[pair.example_index]}" for kind in ("best", "worse")}
    assert responses_to_other_prompts(pairs, seed=3) == (preferred, ties)
    assert responses_to_other_prompts(pairs, seed=4) != (preferred, ties)


def test_pairs_of_one_prompt_and_equal_responses_are_not_combined() -> None:
    same = [Pair(0, "prompt", "yes", "no"), Pair(1, "prompt", "yes", "no")]
    assert responses_to_other_prompts(same, 0) == ([], [])
    assert responses_to_other_prompts(same[:1], 0) == ([], [])
    preferred, ties = responses_to_other_prompts([same[0], Pair(1, "other", "yes", "maybe")], 0)
    assert [(pair.example_index, pair.best, pair.worse) for pair in preferred] == [
        (0, "yes", "maybe"),
        (1, "yes", "no"),
    ]
    assert len(ties) == 2


def test_the_loss_of_a_label_is_its_cross_entropy() -> None:
    scores = torch.tensor([[[3.0], [1.0]]] * 3)
    p = 1 / (1 + math.exp(-2))
    expected = [-math.log(p), -(math.log(p) + math.log(1 - p)) / 2, -0.2 * math.log(p) - 0.8 * math.log(1 - p)]
    assert preference_loss(scores, torch.tensor([1.0, 0.5, 0.2])).tolist() == pytest.approx(expected, rel=1e-5)


def test_augmented_data_contains_the_plain_pairs(tiny_model_dir: Callable[..., Path], tmp_path: Path) -> None:
    source = write_distribution(tmp_path / "source", examples=6, long_at=2)
    tokenizer = load_tokenizer(tiny_model_dir("llama"))
    plain = read_training_data(source, None, 0, tokenizer, 256)
    data = read_training_data(source, None, 0, tokenizer, 256, augment=responses_to_other_prompts)
    assert data.pairs[: len(plain.pairs)] == plain.pairs
    assert data.left_out == (2,)
    labels = [pair.label for pair in data.pairs[len(plain.pairs) :]]
    assert (labels.count(1.0), labels.count(0.5)) == (10, 5)


def test_a_training_with_augmentation_differs_and_another_keeps_its_fingerprint(
    tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    source, model = write_distribution(tmp_path / "source"), tiny_model_dir("llama")
    options = {"num_train_steps": 2, "per_device_train_batch_size": 8}
    plain = train("lora_fine_tune", model, source, tmp_path / "plain", **options)
    other = train("lora_fine_tune", model, source, tmp_path / "rrm", augmentation="rrm", **options)
    assert [entry["loss"] for entry in plain] != [entry["loss"] for entry in other]
    assert "32 pairs, from 8 examples" in (tmp_path / "rrm" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="--augmentation"):
        train("w2s", model, source, tmp_path / "none", augmentation="rrm", weak_labels="labels.json", **options)
    values = {"model_dir": model, "train_distribution": source, "output_dir": "unused"}
    arguments = validate(LoraArguments, values)
    later = {"augmentation", "search", "search_factors", "validation_share"}  # arguments younger than some checkpoints
    shown = {**arguments.model_dump(mode="json", exclude={*NOT_IN_FINGERPRINT, *later}), "dtype": "float32"}
    names = sorted(path.name for path in model.iterdir() if path.suffix in (".json", ".safetensors", ".model"))
    parts = {
        "kind": "lora",
        "arguments": shown,
        "train": sha256_of_file(source / "train.json"),
        "model": {name: sha256_of_file(model / name) for name in names},
    }
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()
    assert training_fingerprint("lora", arguments, "float32") == expected
    for update in ({"augmentation": "rrm"}, {"search": "held_back"}):
        assert training_fingerprint("lora", arguments.model_copy(update=update), "float32") != expected
