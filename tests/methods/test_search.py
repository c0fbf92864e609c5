"""The search for a learning rate and a number of steps, against trainings of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from genies.command_line import validate
from genies.errors import InputError
from genies.files import read_json
from genies.lm.text import TokenSequence
from genies.methods.directions import hold_back
from genies.methods.training import search
from genies.methods.training.arguments import LoraArguments, TunedModelArguments
from genies.methods.training.evaluation import evaluate_rewards
from genies.methods.training.loop import train
from genies.methods.training.pairs import TrainingData, TrainingPair
from genies.methods.training.tuning import tune_lora
from tests.support.reward_examples import write_distribution

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=20)


def tuned(model: Path, source: Path, folder: Path, **kwargs: Any) -> Path:
    values = {"model_dir": model, "train_distribution": source, "output_dir": folder, "device": "cpu", "lora_rank": 4}
    few = {"num_train_steps": 10, "per_device_train_batch_size": 4, "save_steps": 3}
    tune_lora(validate(LoraArguments, {**values, **few, **kwargs}))
    return folder


def test_the_best_point_is_chosen_and_the_model_is_that_of_a_training_with_it(
    source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_model_dir("llama")
    factors = {"search": "held_back", "search_factors": [1, 50], "learning_rate": 1e-3}
    found = tuned(model, source, tmp_path / "searched", **factors)
    record = read_json(found / search.RECORD, "record")
    points = [{"learning_rate": each["learning_rate"], **point} for each in record["tried"] for point in each["curve"]]
    assert [each["learning_rate"] for each in record["tried"]] == [1e-3, 0.05]
    assert [point["step"] for point in record["tried"][0]["curve"]] == list(range(1, 11))
    assert record["chosen"] == min(points, key=lambda point: point["loss"])
    assert (record["fitted_pairs"], record["held_back_pairs"]) == (16, 4)
    assert not list(found.glob("checkpoint-*"))
    chosen = {"learning_rate": record["chosen"]["learning_rate"], "num_train_steps": record["chosen"]["step"]}
    plain = tuned(model, source, tmp_path / "plain", **chosen)
    expected = load_file(plain / WEIGHTS)
    for name, weights in load_file(found / WEIGHTS).items():
        np.testing.assert_array_equal(weights, expected[name])


def test_a_curve_is_that_of_a_training_on_the_other_examples_alone(
    source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_model_dir("llama")
    examples = json.loads((source / "train.json").read_text())
    assert all(len(example["responses"]) == 2 for example in examples)
    held, fitted = hold_back(len(examples), 0.2, 0)
    alone = tmp_path / "data" / "fitted"
    alone.mkdir(parents=True)
    (alone / "train.json").write_text(json.dumps([examples[place] for place in fitted]))
    (alone / "test.json").write_text(json.dumps([examples[place] for place in held]))
    found = tuned(model, source, tmp_path / "searched", search="held_back", search_factors=[50], learning_rate=1e-3)
    record = read_json(found / search.RECORD, "record")
    folder = tuned(model, alone, tmp_path / "plain", learning_rate=0.05)
    curve = record["tried"][0]["curve"]
    evaluate_rewards(
        validate(
            TunedModelArguments,
            {"model_dir": folder, "distribution_dirs": [alone], "output_paths": [tmp_path / "e.json"], "device": "cpu"},
        )
    )
    evaluation = read_json(tmp_path / "e.json", "evaluation")
    assert curve[-1]["accuracy"] == pytest.approx(evaluation["eval_accuracy"])
    assert curve[-1]["loss"] == pytest.approx(-np.log(evaluation["eval_probabilities"]).mean(), abs=1e-5)


def test_a_killed_search_continues_and_ends_with_the_same_model(
    source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model_dir("llama")
    given = {"search": "held_back", "search_factors": [1, 50], "learning_rate": 1e-3}
    expected = tuned(model, source, tmp_path / "whole", **given)
    calls: list[Path] = []

    def interrupted(trainee: Any, data: Any, arguments: Any, accelerator: Any, folder: Path, *others: Any) -> Any:
        calls.append(folder)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(trainee, data, arguments, accelerator, folder, *others)

    with monkeypatch.context() as patched:
        patched.setattr(search, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuned(model, source, tmp_path / "killed", **given)
    calls.append(Path())  # from here on every call is allowed, and counted
    monkeypatch.setattr(search, "train", interrupted)
    found = tuned(model, source, tmp_path / "killed", **given)
    assert len(calls) == 4
    assert (found / search.RECORD).read_text() == (expected / search.RECORD).read_text()
    assert (found / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()


def test_a_learning_rate_that_diverges_is_left_out_and_none_left_is_an_error(
    source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_model_dir("llama")
    found = tuned(model, source, tmp_path / "a", search="held_back", search_factors=[1, 1e30], learning_rate=1e-3)
    record = read_json(found / search.RECORD, "record")
    assert record["tried"][1]["curve"] == []
    assert record["chosen"]["learning_rate"] == 1e-3
    with pytest.raises(InputError, match="1e\\+27"):
        tuned(model, source, tmp_path / "b", search="held_back", search_factors=[1e30], learning_rate=1e-3)


def test_a_decreasing_learning_rate_is_measured_at_its_end(
    source: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    given = {"search": "held_back", "search_factors": [1, 50], "lr_scheduler_type": "linear"}
    found = tuned(tiny_model_dir("llama"), source, tmp_path / "a", **given)
    record = read_json(found / search.RECORD, "record")
    assert [[point["step"] for point in each["curve"]] for each in record["tried"]] == [[10], [10]]


def test_held_back_examples_that_are_all_ties_are_one_message() -> None:
    empty = TokenSequence((1,), (0,))
    data = TrainingData(Path("source"), [TrainingPair(index, empty, empty, 0.5) for index in range(5)], ())
    arguments = validate(LoraArguments, {"model_dir": "m", "train_distribution": "source", "output_dir": "o"})
    with pytest.raises(InputError, match="are ties; hold back more"):
        search._split(data, arguments)
