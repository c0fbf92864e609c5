"""w2s: labels come from another model's evaluation, and the loss is the one written by hand."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genies.errors import InputError
from genies.methods.training import weak_labels
from genies.methods.training.weak_labels import confidence_loss, read_preferences
from tests.support.reward_examples import evaluate, train, watched, write_distribution

QUICK: dict[str, Any] = {"num_train_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.02}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_distribution(tmp_path / "source", examples=5, responses=3)


@pytest.fixture
def labels(tmp_path: Path, source: Path, tiny_model_dir: Callable[..., Path]) -> Path:
    """The evaluation of a weak model on the source's training examples."""
    copy = tmp_path / "labels"
    copy.mkdir()
    shutil.copy(source / "train.json", copy / "test.json")
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "weak", **QUICK)
    evaluate("lora_fine_tune", tmp_path / "weak", [copy], tmp_path)
    return tmp_path / "0.json"


def test_the_loss_mixes_labels_and_own_choices() -> None:
    scores = torch.tensor([[[2.0], [0.0]], [[0.0], [1.0]]])
    given = torch.tensor([0.7, 0.9])

    def entropy(p: float, label: float) -> float:
        return -(label * math.log(p) + (1 - label) * math.log(1 - p))

    p = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    for step, alpha in ((0, 0.2), (1, 0.4), (5, 0.4)):
        expected = [
            (1 - alpha) * entropy(each, label) + alpha * entropy(each, float(each > 0.5))
            for each, label in zip(p, (0.7, 0.9), strict=True)
        ]
        assert confidence_loss(0.4, 2)(scores, given, step).tolist() == pytest.approx(expected, rel=1e-5)


def test_pairs_are_turned_and_labelled_as_the_weak_model_says_and_true_labels_change_nothing(
    labels: Path, source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = json.loads(labels.read_text())
    value["eval_probabilities"] = [0.2, 0.9, 0.4, 0.75, 0.5, 0.1, 0.8, 0.3, 0.6, 0.05]
    value["eval_accuracy"] = 0.45
    labels.write_text(json.dumps(value))
    seen: list[Any] = []
    monkeypatch.setattr(weak_labels, "tune", watched(weak_labels.tune, seen))
    train("w2s", tiny_model_dir("gpt2"), source, tmp_path / "strong", weak_labels=labels, **QUICK)
    preferences = read_preferences(labels, source)
    examples = json.loads((source / "train.json").read_text())
    data = seen[0][2]
    assert len(data.pairs) == 5
    tokenizer = seen[0][1].model.tokenizer
    for pair in data.pairs:
        prompt = examples[pair.example_index]["prompt"]
        best, worse = (
            tokenizer.decode(text.ids, skip_special_tokens=True).removeprefix(prompt)
            for text in (pair.best, pair.worse)
        )
        p = preferences.get((pair.example_index, best, worse))
        p = 1 - preferences[pair.example_index, worse, best] if p is None else p
        assert p >= 0.5
        assert pair.label == pytest.approx(p)
    [found] = evaluate("w2s", tmp_path / "strong", [source], tmp_path)
    assert len(found["eval_probabilities"]) == 10


def test_an_evaluation_of_other_data_is_refused(labels: Path, source: Path, tmp_path: Path) -> None:
    assert len(read_preferences(labels, source)) == 10
    other = write_distribution(tmp_path / "other", examples=4)
    with pytest.raises(InputError, match=r"--weak_labels .*10 pairs are not those of .*train.json"):
        read_preferences(labels, other)
    value = json.loads(labels.read_text())
    labels.write_text(json.dumps({"eval_accuracy": value["eval_accuracy"]}))
    with pytest.raises(InputError, match="expected eval_probabilities"):
        read_preferences(labels, source)


@pytest.mark.parametrize("changed", ["prompt", "response", "label", "nothing"])
def test_the_texts_are_compared_where_the_evaluated_folder_is_known(
    changed: str, labels: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_preferences(labels, source)
    assert "warning: --weak_labels" in capsys.readouterr().err
    value = json.loads(labels.read_text())
    evaluated = tmp_path / "0"  # an evaluation has the name of its distribution
    shutil.copytree(tmp_path / "labels", evaluated)
    value["provenance"] = {"argv": ["python", "eval.py", "--distribution_dirs", json.dumps([str(evaluated)])]}
    labels.write_text(json.dumps(value))
    examples = json.loads((evaluated / "test.json").read_text())
    responses = examples[3]["responses"]
    if changed == "prompt":
        examples[3]["prompt"] += " Again?"
    elif changed == "response":
        examples[3]["responses"] = {f"{text}, other": label for text, label in responses.items()}
    elif changed == "label":
        examples[3]["responses"] = dict(zip(responses, reversed(responses.values()), strict=True))
    (evaluated / "test.json").write_text(json.dumps(examples))
    if changed == "nothing":
        assert len(read_preferences(labels, source)) == 10
        assert capsys.readouterr().err == ""
        return
    with pytest.raises(InputError, match=r"example 3 of .*0/test.json, which it evaluates"):
        read_preferences(labels, source)
