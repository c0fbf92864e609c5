"""anchor, caft and inoculation: against LoRA, plain hooks and principal components."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.decomposition import TruncatedSVD

from genies.data.conversation import Message
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.methods.training.gradients import preference_loss
from genies.methods.training.steering import anchor_loss, components, inoculated, projected_out
from tests.support.plain import plain_network
from tests.support.reward_examples import evaluate, train, write_distribution
from tests.support.scripts import train as train_any

QUICK: dict[str, Any] = {
    "num_train_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 0.02, "lora_rank": 4, "lora_dropout": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=8)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def same(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)


def drift(model: Path, tuned: Path, source: Path) -> float:
    """Mean relative change of the adapters' products, which is 0 without training."""
    found = weights(tuned)
    return float(sum(value.square().sum() for name, value in found.items() if "lora_B" in name))


def test_without_weight_an_anchor_is_lora_and_with_much_weight_it_holds(
    source: Path, tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model = tiny_model_dir("llama")
    train("lora_fine_tune", model, source, tmp_path / "lora", **QUICK)
    train("anchor", model, source, tmp_path / "free", anchor_weight=0.0, **QUICK)
    train("anchor", model, source, tmp_path / "held", anchor_weight=1e4, **QUICK)
    same(tmp_path / "lora", tmp_path / "free")
    assert drift(model, tmp_path / "held", source) < drift(model, tmp_path / "free", source)
    [found] = evaluate("anchor", tmp_path / "free", [source], tmp_path / "out")
    [lora] = evaluate("lora_fine_tune", tmp_path / "lora", [source], tmp_path / "lora out")
    assert found["eval_probabilities"] == pytest.approx(lora["eval_probabilities"], abs=1e-4)


def test_the_loss_of_an_anchor_adds_the_mean_drift() -> None:
    scores = torch.tensor([[[1.0, 0.2], [0.5, 0.4]], [[0.0, 0.0], [0.0, 1.0]]])
    labels = torch.tensor([1.0, 1.0])
    expected = preference_loss(scores, labels) + 3 * torch.tensor([0.3, 0.5])
    torch.testing.assert_close(anchor_loss(3.0)(scores, labels, 0), expected)


def test_directions_are_taken_from_the_states_after_blocks_and_only_within(
    tiny_model_dir: Callable[..., Path],
) -> None:
    network = plain_network(tiny_model_dir("gpt_neox"))
    width = network.config.hidden_size
    vectors = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    ids = torch.tensor([[5, 6, 7, 8]])

    second = network.gpt_neox.layers[1]

    def states() -> Any:
        """What the second block reads."""
        seen: list[Any] = []
        handle = second.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            network(input_ids=ids)
        handle.remove()
        return seen[0]

    before = states()
    with projected_out(network.base_model, {0: vectors}):
        inside = states()
    assert float((inside @ torch.from_numpy(vectors.T)).abs().max()) < 1e-4
    assert float((before @ torch.from_numpy(vectors.T)).abs().max()) > 1e-2
    torch.testing.assert_close(states(), before)
    basis = torch.linalg.qr(torch.from_numpy(vectors.T))[0]
    torch.testing.assert_close(inside, before - before @ basis @ basis.T, atol=1e-5, rtol=1e-4)


def test_components_are_those_of_an_uncentred_decomposition() -> None:
    differences = np.random.default_rng(1).normal(size=(40, 7)) @ np.diag([5, 3, 1, 1, 1, 1, 1])
    found = components(differences, 2)
    expected = TruncatedSVD(2, algorithm="arpack").fit(differences).components_
    for one, other in zip(found, expected, strict=True):
        assert abs(float(one @ other)) == pytest.approx(1.0, abs=1e-4)


def test_caft_trains_without_directions_and_evaluates_with_them(
    source: Path, tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model = tiny_model_dir("llama")
    train("lora_fine_tune", model, source, tmp_path / "lora", **QUICK)
    train("caft", model, source, tmp_path / "caft", **QUICK)
    train("caft", model, source, tmp_path / "again", **QUICK)
    assert (tmp_path / "caft" / "adapter_model.safetensors").read_bytes() == (
        tmp_path / "again" / "adapter_model.safetensors"
    ).read_bytes()
    with pytest.raises(AssertionError):
        same(tmp_path / "lora", tmp_path / "caft")
    [found] = evaluate("caft", tmp_path / "caft", [source], tmp_path / "out")
    [plain] = evaluate("lora_fine_tune", tmp_path / "caft", [source], tmp_path / "plain")
    assert found["eval_probabilities"] == pytest.approx(plain["eval_probabilities"], abs=1e-9)


def test_caft_takes_the_directions_of_another_intervention(
    source: Path, tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model = tiny_model_dir("llama")
    layers = train_any("lat_stim_1", model, source, tmp_path / "lat")
    train("caft", model, source, tmp_path / "caft", directions_dir=layers, **QUICK)
    assert (tmp_path / "caft" / "adapter_model.safetensors").is_file()
    heads = train_any("mms", model, source, tmp_path / "mms")
    with pytest.raises(InputError, match="directions of attention heads; expected those of layers"):
        train("caft", model, source, tmp_path / "other", directions_dir=heads, **QUICK)


def test_inoculation_is_lora_on_prompts_with_the_text_before_them(
    source: Path, tmp_path: Path, tiny_model_dir: Callable[..., Path]
) -> None:
    model, text = tiny_model_dir("llama"), "Prefer the warm one."
    changed = json.loads((source / "train.json").read_text())
    for example in changed:
        example["prompt"] = f"{text}\n\n{example['prompt']}"
    other = tmp_path / "changed"
    other.mkdir()
    (other / "train.json").write_text(json.dumps(changed))
    train("inoculation", model, source, tmp_path / "one", inoculation=text, **QUICK)
    train("lora_fine_tune", model, other, tmp_path / "two", **QUICK)
    same(tmp_path / "one", tmp_path / "two")


def test_in_a_conversation_the_text_stands_before_the_last_turn_of_the_user() -> None:
    messages = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    (found,) = inoculated([Pair(0, messages, "x", "y", messages)], "T")
    assert found.prompt == found.conversation == (*messages[:2], Message("user", "T\n\nc"))
