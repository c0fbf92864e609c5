"""grm and odin: losses and gradients equal those of plain forward passes and formulas written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genies.methods.training import regularized_rewards
from genies.methods.training.gradients import step_gradients
from genies.methods.training.loop import make_accelerator
from tests.support.reward_examples import evaluate, train, watched, write_distribution
from tests.support.tiny_models import FAMILIES

QUICK: dict[str, Any] = {
    "num_train_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.02, "lora_rank": 4, "lora_dropout": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=6)


def tuned(intervention: str, base: Path, source: Path, output: Path, monkeypatch: Any, **kwargs: Any) -> Any:
    """The trainee and the data of a training after its steps."""
    seen: list[Any] = []
    monkeypatch.setattr(regularized_rewards, "tune", watched(regularized_rewards.tune, seen))
    train(intervention, base, source, output, **QUICK, **kwargs)
    _, trainee, data, arguments, *_ = seen[0]
    return trainee, data, arguments


def gradients(trainee: Any, data: Any, arguments: Any, budget: int) -> tuple[Any, dict[str, Any]]:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    scores, _ = step_gradients(trainee, data.pairs, 0, 0, budget, make_accelerator(arguments), scaler, torch.float32)
    found = {name: value.grad.clone() for name, value in trainee.parameters.items()}
    for value in trainee.parameters.values():
        value.grad = None
    loss = trainee.loss(scores, torch.tensor([pair.label for pair in data.pairs], dtype=torch.float64), 0)
    return float(loss.mean()), found


def compare(found: tuple[float, dict[str, Any]], loss: Any, trainee: Any) -> None:
    assert found[0] == pytest.approx(float(loss.detach()), rel=1e-4)
    loss.backward()
    largest = max(float(value.grad.abs().max()) for value in trainee.parameters.values())
    assert largest > 1e-3
    for name, value in trainee.parameters.items():
        torch.testing.assert_close(found[1][name], value.grad, atol=2e-4 * largest, rtol=2e-3)
        value.grad = None


def test_grm_adds_the_log_probability_of_the_best_response(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, beta = 0.3, 0.05
    trainee, data, arguments = tuned(
        "grm", tiny_model_dir("llama"), source, tmp_path, monkeypatch, regularization=weight, beta=beta
    )
    found = gradients(trainee, data, arguments, 10**6)
    small = gradients(trainee, data, arguments, 1)
    classifier = trainee.model.network
    classifier.set_attn_implementation("eager")
    head = next(value for name, value in trainee.parameters.items() if name.startswith("reward_head"))

    def reward_and_log_probability(sequence: Any) -> tuple[Any, Any]:
        output = classifier.language_model(torch.tensor([list(sequence.ids)]), output_hidden_states=True)
        logits = output.logits[0].log_softmax(-1)
        total = torch.stack([logits[place - 1, sequence.ids[place]] for place in sequence.response]).sum()
        return (output.hidden_states[-1][0, -1] @ head[0]), total

    losses = []
    for pair in data.pairs:
        (best, total), (worse, _) = reward_and_log_probability(pair.best), reward_and_log_probability(pair.worse)
        rewards = -torch.nn.functional.logsigmoid(best - worse)
        losses.append((1 - weight) * rewards - weight * torch.nn.functional.logsigmoid(beta * total))
    loss = torch.stack(losses).mean()
    assert small[0] == pytest.approx(found[0], rel=1e-5)
    compare(found, loss, trainee)


def plain_odin_loss(trainee: Any, data: Any, length_weight: float, orthogonality_weight: float) -> Any:
    """By plain forward passes and numpy's definition of the correlation."""
    classifier = trainee.model.network
    classifier.set_attn_implementation("eager")
    sequences = [each for pair in data.pairs for each in (pair.best, pair.worse)]
    outputs = torch.stack([classifier(torch.tensor([list(each.ids)])).logits[0] for each in sequences])
    lengths = torch.tensor([float(len(each.response)) for each in sequences])

    def pearson(values: Any) -> Any:
        return torch.corrcoef(torch.stack([values, lengths]))[0, 1]

    both = outputs.sum(1).reshape(-1, 2)
    ranking = -torch.nn.functional.logsigmoid(both[:, 0] - both[:, 1]).mean()
    weight = next(value for name, value in trainee.parameters.items() if "score" in name)
    cosine = (weight[0] @ weight[1] / (weight[0].norm() * weight[1].norm())).abs()
    decorrelation = pearson(outputs[:, 0]).abs() - pearson(outputs[:, 1])
    return ranking + length_weight * decorrelation + orthogonality_weight * cosine


@pytest.mark.parametrize("budget", [10**6, 1])
def test_odin_has_the_correlations_of_the_whole_step_whatever_the_budget(
    budget: int, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"length_weight": 0.7, "orthogonality_weight": 0.2}
    trainee, data, arguments = tuned("odin", tiny_model_dir("gpt_neox"), source, tmp_path, monkeypatch, **weights)
    found = gradients(trainee, data, arguments, budget)
    compare(found, plain_odin_loss(trainee, data, **weights), trainee)


def test_the_correlation_of_a_constant_is_zero_without_gradient() -> None:
    constant = torch.ones(3, requires_grad=True)
    found = regularized_rewards.correlation(constant, torch.tensor([1.0, 2.0, 3.0]))
    found.backward()
    assert float(found) == 0.0
    assert constant.grad is not None
    assert constant.grad.tolist() == [0.0, 0.0, 0.0]


def test_odin_is_evaluated_by_its_first_output(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("odin", tiny_model_dir("llama"), source, tmp_path / "tuned", **QUICK)
    tensors = load_file(tmp_path / "tuned" / "adapter_model.safetensors")
    assert next(value for name, value in tensors.items() if name.endswith("score.weight")).shape[0] == 2
    [found] = evaluate("odin", tmp_path / "tuned", [source], tmp_path)
    [first] = evaluate("lora_fine_tune", tmp_path / "tuned", [source], tmp_path, reward_output="0")
    [length] = evaluate("odin", tmp_path / "tuned", [source], tmp_path, reward_output="1")
    assert found["eval_probabilities"] == first["eval_probabilities"]
    assert np.abs(np.subtract(found["eval_probabilities"], length["eval_probabilities"])).max() > 1e-3


@pytest.mark.parametrize("intervention", ["grm", "odin"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_its_pairs_and_a_seed_repeats_it(
    family: str, intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir(family)
    options = {**QUICK, "num_train_steps": 8, "per_device_train_batch_size": 6, "max_grad_norm": 10}
    logs = [train(intervention, base, source, tmp_path / name, **options) for name in ("one", "two")]
    assert logs[0] == logs[1]
    assert logs[0][-1]["loss"] < logs[0][0]["loss"]
    [found] = evaluate(intervention, tmp_path / "one", [source], tmp_path)
    assert len(found["eval_probabilities"]) == 6
