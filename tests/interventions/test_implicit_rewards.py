"""dpo and ipo: loss, gradients and probabilities equal those of plain forward passes and formulas written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.text import encode
from genies.methods.training import implicit_rewards
from genies.methods.training.gradients import step_gradients
from genies.methods.training.loop import make_accelerator
from tests.support.reward_examples import evaluate, train, watched, write_distribution

QUICK: dict[str, Any] = {"num_train_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=5)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENIES_CACHE", str(tmp_path / "cache"))


def log_probability(network: Any, sequence: Any) -> Any:
    """By a plain forward pass."""
    logits = network(input_ids=torch.tensor([list(sequence.ids)])).logits[0].log_softmax(-1)
    return torch.stack([logits[place - 1, sequence.ids[place]] for place in sequence.response]).sum()


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
@pytest.mark.parametrize("normalization", ["sum", "mean"])
def test_loss_and_gradients_are_those_of_the_papers_formulas(
    kind: str,
    normalization: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, beta = tiny_model_dir("llama"), 0.3
    seen: list[Any] = []
    monkeypatch.setattr(implicit_rewards, "tune", watched(implicit_rewards.tune, seen))
    train(kind, base, source, tmp_path, beta=beta, lora_dropout=0.0, lora_rank=4, normalization=normalization, **QUICK)
    _, trainee, data, arguments, *_ = seen[0]
    with torch.no_grad():
        for value in trainee.parameters.values():
            value.normal_(std=0.05)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    scores, _ = step_gradients(trainee, data.pairs, 0, 0, 10**6, make_accelerator(arguments), scaler, torch.float32)
    found = {name: value.grad.clone() for name, value in trainee.parameters.items()}
    untuned = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    trainee.model.network.set_attn_implementation("eager")
    for value in trainee.parameters.values():
        value.grad = None

    def ratio(sequence: Any) -> Any:
        count = len(sequence.response) if normalization == "mean" else 1
        with torch.no_grad():
            before = log_probability(untuned, sequence)
        return (log_probability(trainee.model.network, sequence) - before) / count

    losses = []
    for pair in data.pairs:
        logits = ratio(pair.best) - ratio(pair.worse)
        plain = -torch.nn.functional.logsigmoid(beta * logits) if kind == "dpo" else (logits - 1 / (2 * beta)) ** 2
        losses.append(plain)
    loss = torch.stack(losses).mean()
    ours = trainee.loss(scores, torch.ones(len(data.pairs), dtype=torch.float64), 0).mean()
    assert float(ours) == pytest.approx(float(loss.detach()), rel=1e-4)
    loss.backward()
    largest = max(float(value.grad.abs().max()) for value in trainee.parameters.values())
    assert largest > 1e-3
    for name, value in trainee.parameters.items():
        torch.testing.assert_close(found[name], value.grad, atol=1e-4 * largest, rtol=1e-3)


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_p_is_the_sigmoid_of_the_difference_of_implicit_rewards(
    kind: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir("gpt_neox")
    train(kind, base, source, tmp_path / "tuned", beta=0.5, **QUICK)
    [found] = evaluate(kind, tmp_path / "tuned", [source], tmp_path)
    untuned = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "tuned"
    )
    tokenizer = AutoTokenizer.from_pretrained(base)
    expected = []
    with torch.inference_mode():
        for pair in pairs(Distribution(source).test):
            best, worse = encode(tokenizer, [(pair.prompt, pair.best), (pair.prompt, pair.worse)])
            after = log_probability(tuned.eval(), best) - log_probability(tuned, worse)
            before = log_probability(untuned, best) - log_probability(untuned, worse)
            expected.append(float(torch.sigmoid(0.5 * (after - before))))
    assert max(abs(p - 0.5) for p in expected) > 0.05
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)


def test_the_untuned_model_scores_a_text_once(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_model_dir("llama")
    calls: list[int] = []
    scorer = implicit_rewards._untuned_scorer

    def counted(*given: Any) -> Any:
        def score(texts: Any) -> Any:
            calls.append(len(texts))
            return scorer(*given)(texts)

        return score

    monkeypatch.setattr(implicit_rewards, "_untuned_scorer", counted)
    first = train("dpo", base, source, tmp_path / "one", **QUICK)
    evaluate("dpo", tmp_path / "one", [source], tmp_path)
    assert calls == [10, 10]
    assert train("dpo", base, source, tmp_path / "two", **QUICK) == first
    train("ipo", base, source, tmp_path / "three", seed=3, **QUICK)
    evaluate("ipo", tmp_path / "three", [source], tmp_path)
    assert calls == [10, 10]
    weights = "adapter_model.safetensors"
    assert (tmp_path / "one" / weights).read_bytes() == (tmp_path / "two" / weights).read_bytes()
    for path in (tmp_path / "cache" / "log_probabilities").iterdir():
        path.write_text("{")
    assert train("dpo", base, source, tmp_path / "four", **QUICK) == first
    assert calls == [10, 10, 10]


def test_thirty_steps_raise_the_probability_of_the_best_responses(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    options = {"num_train_steps": 30, "max_grad_norm": 10}
    for kind, rate in (("dpo", 0.02), ("ipo", 0.005)):
        log = train(kind, tiny_model_dir("llama"), source, tmp_path / kind, learning_rate=rate, **options)
        assert log[-1]["accuracy"] == 1.0
        assert log[-1]["loss"] < 0.5 * log[0]["loss"]


def test_a_damaged_record_and_a_reward_output_are_messages(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("dpo", tiny_model_dir("llama"), source, tmp_path / "tuned", **QUICK)
    with pytest.raises(InputError, match="is an untuned model"):
        evaluate("dpo", tiny_model_dir("llama"), [source], tmp_path)
    with pytest.raises(InputError, match="--reward_output"):
        evaluate("dpo", tmp_path / "tuned", [source], tmp_path, reward_output="0")
    (tmp_path / "tuned" / implicit_rewards.RECORD).write_text('{"beta": -1}')
    with pytest.raises(InputError, match=r"implicit_reward.json.*beta.*train again"):
        evaluate("dpo", tmp_path / "tuned", [source], tmp_path)
