"""The interventions that train on pairs, on tiny models: what they learn, leave behind, and refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from genies.command_line import parse
from genies.errors import InputError
from genies.methods.training import record, tuning
from tests.support.reward_examples import evaluate, read_log, script, train, train_items, write_distribution
from tests.support.tiny_models import FAMILIES

RATES = {"lora_fine_tune": 0.02, "prompt_tuning": 0.05, "full_fine_tune": 0.005, "log_prob_classify": 0.02}
QUICK: dict[str, Any] = {"num_train_steps": 3, "per_device_train_batch_size": 4}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source")


@pytest.mark.parametrize("intervention", RATES)
def test_thirty_steps_overfit_eight_pairs_and_change_what_is_tuned_and_nothing_else(
    intervention: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Any, dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    run = tuning.train

    def watch(trainee: Any, *others: Any) -> Any:
        network = trainee.model.network
        tuned = {id(parameter) for parameter in trainee.parameters.values()}
        before = {name: value.detach().clone() for name, value in trainee.parameters.items()}
        frozen = {name: value.detach().clone() for name, value in network.named_parameters() if id(value) not in tuned}
        seen.append((trainee, before, frozen))
        return run(trainee, *others)

    monkeypatch.setattr(tuning, "train", watch)
    log = train(
        intervention,
        tiny_model_dir("llama"),
        source,
        tmp_path,
        num_train_steps=30,
        learning_rate=RATES[intervention],
        **({"max_grad_norm": 10} if intervention != "full_fine_tune" else {}),
    )
    assert log[-1]["accuracy"] == 1.0
    assert log[-1]["loss"] < log[0]["loss"]
    trainee, before, frozen = seen[0]
    for name, value in before.items():
        assert not torch.equal(trainee.parameters[name], value), name
    now = dict(trainee.model.network.named_parameters())
    for name, value in frozen.items():
        assert torch.equal(now[name], value), name
    assert frozen or intervention == "full_fine_tune"
    examples = json.loads((source / "train.json").read_text(encoding="utf-8"))
    (tmp_path / "seen").mkdir()
    for split in ("train", "test"):
        (tmp_path / "seen" / f"{split}.json").write_text(json.dumps(examples), encoding="utf-8")
    assert evaluate(intervention, tmp_path, [tmp_path / "seen"], tmp_path)[0]["eval_accuracy"] == 1.0


@pytest.mark.parametrize("intervention", RATES)
def test_evaluation_does_not_depend_on_budget_order_or_company(
    intervention: str, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_distribution(tmp_path / "four", examples=5, responses=4)
    train(intervention, tiny_model_dir("gpt_neox"), source, tmp_path / "model", **QUICK)
    turned = tmp_path / "turned"
    turned.mkdir()
    for split in ("train", "test"):
        items = json.loads((source / f"{split}.json").read_text(encoding="utf-8"))
        for item in items:
            best = next(text for text, label in item["responses"].items() if label)
            worse = [text for text in item["responses"] if text != best]
            item["responses"] = {**dict.fromkeys(worse, 0.0), best: 1.0}
        (turned / f"{split}.json").write_text(json.dumps(items), encoding="utf-8")
    one, other = evaluate(intervention, tmp_path / "model", [source, turned], tmp_path)
    small = evaluate(intervention, tmp_path / "model", [turned], tmp_path, batch_tokens=1)[0]
    assert len(one["eval_probabilities"]) == 15
    assert one["dtype"] == "float32"
    for each in (other, small):
        assert each["eval_probabilities"] == pytest.approx(one["eval_probabilities"], abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_tuned_evaluated_and_tuned_again_to_the_same_bytes(
    family: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        train("lora_fine_tune", tiny_model_dir(family, "metaspace"), source, tmp_path / name, **QUICK)
        evaluate("lora_fine_tune", tmp_path / name, [source], tmp_path / name)
    assert read_log(tmp_path / "one") == read_log(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        if path.name != "training_log.jsonl":
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("intervention", RATES)
def test_another_seed_gives_other_weights(
    intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    for seed in (1, 2):
        train(intervention, tiny_model_dir("llama"), source, tmp_path / str(seed), seed=seed, **QUICK)
    name = "model.safetensors" if intervention == "full_fine_tune" else "adapter_model.safetensors"
    assert (tmp_path / "1" / name).read_bytes() != (tmp_path / "2" / name).read_bytes()


def test_the_defaults_are_those_of_the_method() -> None:
    lora = script("lora_fine_tune", "train").Arguments.model_fields
    named = {name: lora[name].default for name in ("num_train_steps", "per_device_train_batch_size", "learning_rate")}
    assert named == {"num_train_steps": 100, "per_device_train_batch_size": 16, "learning_rate": 2e-4}
    assert (lora["lora_rank"].default, lora["lora_alpha"].default, lora["lora_dropout"].default) == (64, 16, 0.1)
    assert (lora["max_grad_norm"].default, lora["weight_decay"].default) == (0.3, 0)
    prompt = script("prompt_tuning", "train").Arguments.model_fields
    assert (prompt["num_virtual_tokens"].default, prompt["learning_rate"].default) == (10, 0.0052)
    assert prompt["num_train_steps"].default == 150
    assert script("full_fine_tune", "train").Arguments.model_fields["learning_rate"].default == 2e-5


def test_the_learning_rate_rises_over_the_warm_up_and_stays(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    options = {"num_train_steps": 6, "warmup_ratio": 0.5, "learning_rate": 0.003}
    log = train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "constant", **options)
    assert [entry["learning_rate"] for entry in log] == pytest.approx([0.001, 0.002, 0.003, 0.003, 0.003, 0.003])
    log = train(
        "lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "linear", lr_scheduler_type="linear", **options
    )
    assert [entry["learning_rate"] for entry in log] == pytest.approx([0.001, 0.002, 0.003, 0.003, 0.002, 0.001])


def test_a_loss_that_is_not_finite_stops_with_step_and_examples(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"training step [2-9]: the (loss|gradient) is not finite.* examples \d"):
        train("full_fine_tune", tiny_model_dir("llama"), source, tmp_path, num_train_steps=9, learning_rate=1e30)


@pytest.mark.parametrize("intervention", ["full_fine_tune", "lora_fine_tune"])
@pytest.mark.parametrize("rate", [1e38, 3e38])
def test_weights_ruined_in_the_last_step_are_not_saved(
    rate: float, intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"step 1: the norm of the tuned weights is not finite.*learning_rate"):
        train(intervention, tiny_model_dir("llama"), source, tmp_path, num_train_steps=1, learning_rate=rate)
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_example_longer_than_the_context_is_left_out_with_a_count(
    tiny_model_dir: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_distribution(tmp_path / "long", long_at=4)
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "model", **QUICK)
    assert "example 4 is left out" in capsys.readouterr().err
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "7 pairs" in card
    assert "1 left out" in card


@pytest.mark.parametrize("count", [256, 300, 10**12])
def test_virtual_tokens_that_leave_no_room_for_a_text_are_refused(
    count: int, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"virtual tokens leave no room.* 256 tokens.*--num_virtual_tokens"):
        train("prompt_tuning", tiny_model_dir("llama"), source, tmp_path, num_virtual_tokens=count, **QUICK)


def test_a_published_adapter_with_too_many_virtual_tokens_is_refused(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("prompt_tuning", tiny_model_dir("llama"), source, tmp_path / "tuned", num_virtual_tokens=12, **QUICK)
    short = tmp_path / "short"
    shutil.copytree(tiny_model_dir("llama"), short)
    config = json.loads((short / "config.json").read_text(encoding="utf-8"))
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 12}), encoding="utf-8")
    with pytest.raises(InputError, match="12 virtual tokens leave no room"):
        evaluate("prompt_tuning", tmp_path / "tuned", [source], tmp_path, base_model_dir=short)


def test_a_split_of_one_example_is_enough(tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    log = train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, num_train_steps=2, max_examples=1)
    assert len(log) == 2


def test_an_unknown_argument_names_the_nearest_one(tmp_path: Path) -> None:
    arguments = script("prompt_tuning", "train").Arguments
    with pytest.raises(InputError, match=r"--num_virtual_token.*did you mean --num_virtual_tokens\?"):
        parse(arguments, train_items(tmp_path, tmp_path, tmp_path, num_virtual_token=3))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("intervention", ["lora_fine_tune", "prompt_tuning", "log_prob_classify"])
def test_four_bits_without_a_gpu_are_refused(
    intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--load_in_4bit True needs a CUDA GPU"):
        train(intervention, tiny_model_dir("llama"), source, tmp_path, load_in_4bit=True)


def test_bfloat16_can_be_asked_for(tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    log = train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, dtype="bfloat16", **QUICK)
    assert len(log) == 3
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float32}
    assert evaluate("lora_fine_tune", tmp_path, [source], tmp_path, dtype="bfloat16")[0]["dtype"] == "bfloat16"


def test_tensorboard_that_is_not_installed_is_named_before_a_model_is_loaded(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install -e \.\[tensorboard\]"):
        train("lora_fine_tune", tmp_path / "no model", source, tmp_path, tensorboard=True, **QUICK)


def test_tensorboard_curves_have_every_step_once_when_training_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    entries = [
        {"step": step, "loss": 1 / step, "accuracy": 0.5, "gradient_norm": None if step == 2 else 1.0}
        for step in range(1, 5)
    ]
    for done, added in ((entries[:0], entries[:3]), (entries[:2], entries[2:])):
        shown = record.Record(tmp_path, 4, True, True, done)
        for entry in added:
            shown.add(entry)
        shown.close()
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [event.step for event in curves.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.value for event in curves.Scalars("train/loss")] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert [event.step for event in curves.Scalars("train/gradient_norm")] == [1, 3, 4]


def test_a_whole_model_is_not_quantized_and_says_so(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--quantization nf4.*leave it out"):
        train("full_fine_tune", tiny_model_dir(), source, tmp_path / "quantized", quantization="nf4")
    train("full_fine_tune", tiny_model_dir(), source, tmp_path / "tuned", num_train_steps=1)
    with pytest.raises(InputError, match="leave out --quantization nf4"):
        evaluate("full_fine_tune", tmp_path / "tuned", [source], tmp_path, quantization="nf4")


@pytest.mark.parametrize("intervention", ["lora_fine_tune", "prompt_tuning", "full_fine_tune"])
def test_device_map_trains_and_evaluates_and_without_a_gpu_changes_nothing(
    intervention: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = []
    for spread in ("none", "auto"):
        folder = tmp_path / spread
        train(intervention, tiny_model_dir("llama"), source, folder, device_map=spread, **QUICK)
        (evaluation,) = evaluate(intervention, folder, [source], tmp_path, device_map=spread)
        found.append(evaluation["eval_probabilities"])
    assert found[0] == found[1]
    assert capsys.readouterr().err.count("--device_map auto has no effect without a GPU") == 2


@pytest.mark.parametrize("intervention", ["lora_fine_tune", "log_prob_classify"])
def test_a_target_of_which_no_example_fits_costs_its_own_evaluation(
    intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train(intervention, tiny_model_dir("llama"), source, tmp_path / "tuned", **QUICK)
    long = tmp_path / "long"
    long.mkdir()
    (long / "test.json").write_text(json.dumps([{"prompt": "warm " * 400, "responses": {"a": 1.0, "b": 0.0}}]))
    with pytest.raises(InputError, match="no example is left"):
        evaluate(intervention, tmp_path / "tuned", [long, source], tmp_path)
    assert [path.name for path in sorted(tmp_path.glob("*.json"))] == ["1.json"]
