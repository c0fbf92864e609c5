"""Reward models with a head of ours: what training leaves behind gives the same rewards without this project; and
adapters on experts and state-space layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genies.command_line import validate
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.model import load_model
from genies.lm.text import encode
from genies.methods.training.adapters import add_lora
from genies.methods.training.arguments import LoraArguments, TunedModelArguments
from genies.methods.training.decoder_head import RECORD, WEIGHTS
from genies.methods.training.evaluation import load_reward_model
from genies.methods.training.gradients import step_gradients
from genies.methods.training.loop import make_accelerator
from genies.methods.training.pairs import read_training_data
from genies.methods.training.reward_model import add_head, rewards
from genies.methods.training.tuning import reward_trainee
from tests.support.families import plain_family, write_family
from tests.support.reward_examples import code_on_the_card, evaluate, plain_reward, train, write_distribution

QUICK: dict[str, Any] = {"num_train_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source")


def load(folder: Path) -> Any:
    values = {"model_dir": folder, "distribution_dirs": [], "output_paths": [], "device": "cpu"}
    return load_reward_model(validate(TunedModelArguments, values))


def our_rewards(folder: Path, source: Path) -> Any:
    model = load(folder)
    texts = [(pair.prompt, pair.best) for pair in pairs(Distribution(source).test)]
    return rewards(model, [each.ids for each in encode(model.language_model.tokenizer, texts)])


@pytest.mark.parametrize(
    ("name", "intervention"),
    [
        *((name, "lora_fine_tune") for name in ("granite", "gemma3n_text", "lfm2", "mamba", "llama4_text")),
        *((name, "lora_fine_tune") for name in ("deepseek_v32", "mistral3")),
        *((name, "full_fine_tune") for name in ("granite", "mistral3", "modernbert-decoder")),
        *((name, "prompt_tuning") for name in ("granite", "llama4_text", "mamba", "mistral3")),
    ],
)
def test_the_code_on_the_card_gives_our_rewards(name: str, intervention: str, source: Path, tmp_path: Path) -> None:
    base, folder = write_family(tmp_path / "base", name), tmp_path / "tuned"
    slower = {"learning_rate": 0.001} if intervention == "full_fine_tune" else {}
    train(intervention, base, source, folder, **{**QUICK, **slower})
    code = code_on_the_card(folder).replace('"THIS FOLDER"', repr(str(folder))).replace("'base'", repr(str(base)))
    ours = our_rewards(folder, source)
    assert np.std(ours) > 1e-3
    for pair, expected in zip(pairs(Distribution(source).test)[:2], ours, strict=False):
        names: dict[str, Any] = {"prompt": pair.prompt, "response": pair.best}
        exec(code, names)
        assert float(names["reward"]) == pytest.approx(expected, abs=1e-4)
    [found] = evaluate(intervention, folder, [source], tmp_path / "evaluation")
    assert 0 <= found["eval_accuracy"] <= 1


def test_virtual_tokens_are_refused_where_blocks_embed_token_ids(source: Path, tmp_path: Path) -> None:
    base = write_family(tmp_path / "base", "gemma4_text")
    with pytest.raises(InputError, match=r"embedding of token ids in every block.*use lora_fine_tune"):
        train("prompt_tuning", base, source, tmp_path / "tuned", **QUICK)


def test_a_head_that_does_not_belong_is_refused(source: Path, tmp_path: Path) -> None:
    base, folder = write_family(tmp_path / "base", "granite"), tmp_path / "tuned"
    train("lora_fine_tune", base, source, folder, **QUICK)
    with pytest.raises(InputError, match="tuned for rewards"):
        evaluate("log_prob_classify", folder, [source], tmp_path / "evaluation")
    weight = load_file(folder / WEIGHTS)["weight"]
    for damaged, message in ((weight[:, :5], "width 5"), (weight * float("nan"), "finite"), (weight[0], "one tensor")):
        save_file({"weight": damaged.contiguous()}, folder / WEIGHTS)
        with pytest.raises(InputError, match=message):
            load(folder)
    (folder / WEIGHTS).write_bytes(b"not a tensor")
    with pytest.raises(InputError, match="missing or damaged"):
        load(folder)
    (folder / RECORD).write_text(json.dumps({"kind": "value_head"}))
    with pytest.raises(InputError, match="field kind"):
        load(folder)


def test_adapters_of_experts_train_as_those_of_peft_do(source: Path, tmp_path: Path) -> None:
    folder = write_family(tmp_path / "base", "mixtral")
    values = {"model_dir": folder, "train_distribution": source, "output_dir": "unused", "device": "cpu"}
    arguments = validate(LoraArguments, {**values, "lora_rank": 2, "lora_dropout": 0.0})
    model = add_head(load_model(folder), seed=0)
    tuned = add_lora(model.classifier, arguments, folder, "SEQ_CLS")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    plain = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, attn_implementation="eager")
    config = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear")
    theirs = get_peft_model(plain.eval(), config).eval()
    adapted = {name for name, each in theirs.named_parameters() if each.requires_grad and "modules_to_save" not in name}
    assert any(".experts." in name for name in adapted)
    state = {name: each for name, each in tuned.named_parameters() if each.requires_grad}
    assert adapted <= set(state)
    theirs.load_state_dict(state, strict=False)

    data = read_training_data(source, None, 0, model.language_model.tokenizer, 256)
    trainee = reward_trainee(model, tuned)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    accelerator = make_accelerator(arguments)
    scores, _ = step_gradients(trainee, data.pairs, 0, 0, 10**6, accelerator, scaler, torch.float32)
    expected = torch.stack(
        [plain_reward(theirs, pair.best.ids) - plain_reward(theirs, pair.worse.ids) for pair in data.pairs]
    )
    margins = scores[:, 0, 0] - scores[:, 1, 0]
    assert margins.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    torch.nn.functional.softplus(-expected).mean().backward()
    gradients = dict(theirs.named_parameters())
    for name in adapted:
        found, wanted = state[name].grad, gradients[name].grad
        assert found is not None
        assert wanted is not None
        torch.testing.assert_close(found, wanted, atol=1e-4 * float(wanted.abs().max()) + 1e-7, rtol=1e-3)


@pytest.mark.parametrize("name", ["mixtral", "deepseek_v3", "qwen3_next"])
def test_experts_tuned_with_dropout_are_read_by_peft(name: str, source: Path, tmp_path: Path) -> None:
    base, folder = write_family(tmp_path / "base", name), tmp_path / "tuned"
    train("lora_fine_tune", base, source, folder, **QUICK, lora_dropout=0.1)
    padding = AutoTokenizer.from_pretrained(folder).pad_token_id
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, pad_token_id=padding)
    tuned = PeftModel.from_pretrained(plain, folder).eval()
    model = load(folder)
    texts = [(pair.prompt, pair.best) for pair in pairs(Distribution(source).test)]
    with torch.inference_mode():
        expected = [float(plain_reward(tuned, each.ids)) for each in encode(model.language_model.tokenizer, texts)]
    assert np.std(expected) > 1e-3
    assert our_rewards(folder, source) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["mamba", "falcon_h1"])
def test_log_probabilities_of_state_space_models_are_tuned(name: str, source: Path, tmp_path: Path) -> None:
    base, folder = write_family(tmp_path / "base", name), tmp_path / "tuned"
    train("log_prob_classify", base, source, folder, **QUICK)
    tuned = PeftModel.from_pretrained(plain_family(base, name), folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    test = pairs(Distribution(source).test)
    means = []
    for each in encode(tokenizer, [(pair.prompt, text) for pair in test for text in (pair.best, pair.worse)]):
        with torch.inference_mode():
            logits = tuned(input_ids=torch.tensor([list(each.ids)])).logits[0].log_softmax(-1)
        means.append(float(np.mean([float(logits[place - 1, each.ids[place]]) for place in each.response])))
    expected = [1 / (1 + np.exp(worse - best)) for best, worse in zip(means[::2], means[1::2], strict=True)]
    [found] = evaluate("log_prob_classify", folder, [source], tmp_path / "evaluation")
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
