"""A model kept after a step is the one that a training of so many steps ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genies.command_line import validate
from genies.errors import InputError
from genies.kept_steps import kept_steps
from genies.methods.training.arguments import LoraArguments
from tests.support.reward_examples import evaluate, read_log, train, write_distribution
from tests.support.trainings import train_until

OPTIONS: dict[str, Any] = {
    "num_train_steps": 6,
    "per_device_train_batch_size": 4,
    "save_steps": 1,
    "learning_rate": 0.01,
    "keep_steps": "[2, 4]",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=6)


def probabilities(intervention: str, model: Path, source: Path, output: Path) -> list[float]:
    (found,) = evaluate(intervention, model, [source], output)
    return list(found["eval_probabilities"])


@pytest.mark.parametrize(
    ("intervention", "options"),
    [
        ("lora_fine_tune", {"lora_rank": 4}),
        ("prompt_tuning", {}),
        ("full_fine_tune", {"learning_rate": 0.001}),
        ("dpo", {"lora_rank": 4}),
        ("odin", {"lora_rank": 4}),
    ],
)
def test_a_kept_step_is_a_shorter_training(
    intervention: str, options: dict[str, Any], tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    model, whole = tiny_model_dir("llama"), tmp_path / "whole"
    train(intervention, model, source, whole, **{**OPTIONS, **options})
    assert list(kept_steps(whole)) == [2, 4]
    assert not list(whole.glob("checkpoint-*"))
    for step, folder in {**kept_steps(whole), 6: whole}.items():
        short = tmp_path / f"short-{step}"
        train(intervention, model, source, short, **{**OPTIONS, **options, "num_train_steps": step, "keep_steps": "[]"})
        assert probabilities(intervention, folder, source, tmp_path) == probabilities(
            intervention, short, source, tmp_path
        )
        left, right = (each / "README.md" for each in (folder, short))
        assert (
            left.read_text().partition("## Training metrics")[2].partition("Fingerprint")[0]
            == right.read_text().partition("## Training metrics")[2].partition("Fingerprint")[0]
        )
    assert [entry["pairs"] for entry in read_log(whole)] == [4, 8, 12, 16, 20, 24]


def test_a_killed_training_keeps_its_steps_when_it_goes_on(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    model = tiny_model_dir("llama")
    train("lora_fine_tune", model, source, tmp_path / "whole", **OPTIONS)
    train_until(5, "lora_fine_tune", model, source, tmp_path / "killed", **OPTIONS)
    assert {"checkpoint-2", "checkpoint-4"} <= {each.name for each in (tmp_path / "killed").iterdir()}
    train("lora_fine_tune", model, source, tmp_path / "killed", **OPTIONS)
    for step, folder in kept_steps(tmp_path / "whole").items():
        other = tmp_path / "killed" / f"step-{step}" / "adapter_model.safetensors"
        assert (folder / "adapter_model.safetensors").read_bytes() == other.read_bytes()


def test_a_step_beyond_the_last_is_refused() -> None:
    required = {"model_dir": "m", "train_distribution": "d", "output_dir": "o"}
    with pytest.raises(InputError, match="--keep_steps 9: expected steps up to --num_train_steps, which is 6"):
        validate(LoraArguments, {**required, "num_train_steps": 6, "keep_steps": [2, 9]})


def test_steps_of_an_earlier_training_are_removed(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **{**OPTIONS, "keep_steps": "[3]"})
    assert list(kept_steps(tmp_path)) == [3]


def test_a_damaged_checkpoint_is_named(tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    train_until(5, "lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    (tmp_path / "checkpoint-2" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="checkpoint-2, which --keep_steps needs, is damaged"):
        train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)


def test_an_ensemble_has_no_kept_steps(tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"keep_steps.*lora_fine_tune for a curve"):
        train("warm", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
