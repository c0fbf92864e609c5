"""Loss and gradients of packed pairs against plain forward passes of transformers and PEFT."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genies.command_line import validate
from genies.methods.training.adapters import add_lora, add_virtual_tokens
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.gradients import Trainee, step_gradients, trainable
from genies.methods.training.log_probabilities import mean_log_probabilities
from genies.methods.training.loop import enable_gradient_checkpointing, make_accelerator
from genies.methods.training.pairs import TrainingData, read_training_data
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import RewardModel, add_head
from genies.methods.training.tuning import reward_trainee
from tests.support.reward_examples import plain_reward, write_distribution
from tests.support.tiny_models import FAMILIES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=5)


def arguments_for(model: Path, source: Path, **kwargs: Any) -> LoraArguments:
    values = {"model_dir": model, "train_distribution": source, "output_dir": "unused", "device": "cpu"}
    return validate(LoraArguments, {**values, "lora_rank": 4, "lora_dropout": 0.0, **kwargs})


def lora(model: Path, arguments: LoraArguments) -> tuple[RewardModel, Any, TrainingData]:
    """A reward model with adapters that are not zero, as after some steps."""
    reward_model = add_head(load_base_model(model, arguments, False), seed=0)
    tuned = add_lora(reward_model.classifier, arguments, model, "SEQ_CLS")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    tokenizer = reward_model.language_model.tokenizer
    return reward_model, tuned, read_training_data(arguments.train_distribution, None, 0, tokenizer, 256)


def gradients(trainee: Trainee, data: TrainingData, budget: int = 10**6, step: int = 0) -> tuple[Any, dict[str, Any]]:
    """Margins and gradients of one step with all pairs."""
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    accelerator = make_accelerator(arguments_for(Path("m"), data.source))
    scores, _ = step_gradients(trainee, data.pairs, step, 0, budget, accelerator, scaler, torch.float32)
    found = {name: parameter.grad for name, parameter in trainee.parameters.items()}
    for parameter in trainee.parameters.values():
        parameter.grad = None
    return scores[:, 0, 0] - scores[:, 1, 0], found


def plain_gradients(network: Any, data: TrainingData, score: Callable[[Any, Any], Any]) -> tuple[Any, dict[str, Any]]:
    """The same, one sequence a forward pass."""
    margins = torch.stack([score(network, pair.best) - score(network, pair.worse) for pair in data.pairs])
    (-torch.nn.functional.logsigmoid(margins)).mean().backward()
    found = {name: parameter.grad for name, parameter in trainable(network).items()}
    for parameter in network.parameters():
        parameter.grad = None
    return margins.detach().double(), found


def same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    assert torch.allclose(found[0], expected[0], atol=tolerance)
    assert found[1].keys() == expected[1].keys()
    largest = max(float(each.abs().max()) for each in expected[1].values())
    assert largest > 1e-3
    for name, value in expected[1].items():
        assert torch.allclose(found[1][name], value, atol=tolerance * max(1.0, largest)), name


def reward_of(network: Any, sequence: Any) -> Any:
    return plain_reward(network, sequence.ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_pairs_give_the_loss_and_gradients_of_plain_passes(
    family: str, tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    folder = tiny_model_dir(family)
    model, tuned, data = lora(folder, arguments_for(folder, source))
    assert model.language_model.packs
    packed = gradients(reward_trainee(model, tuned), data)
    tuned.base_model.model.set_attn_implementation("eager")
    same(packed, plain_gradients(tuned, data, reward_of))


def test_all_weights_get_the_gradients_of_plain_passes(tiny_model_dir: Callable[..., Path], source: Path) -> None:
    folder = tiny_model_dir("gpt_neox")
    arguments = arguments_for(folder, source)
    model = add_head(load_base_model(folder, arguments, False), seed=0)
    model.classifier.requires_grad_(True)
    data = read_training_data(source, None, 0, model.language_model.tokenizer, 256)
    packed = gradients(reward_trainee(model, model.classifier), data)
    model.classifier.set_attn_implementation("eager")
    same(packed, plain_gradients(model.classifier, data, reward_of))


def test_virtual_tokens_get_the_gradients_of_pefts_own_forward_pass(
    tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    folder = tiny_model_dir("qwen2")
    arguments = arguments_for(folder, source)
    plain = add_head(load_base_model(folder, arguments, False), seed=0)
    tuned, model = add_virtual_tokens(plain, 3, "vocabulary", folder, seed=0)
    data = read_training_data(source, None, 0, model.language_model.tokenizer, 256)
    packed = gradients(reward_trainee(model, tuned), data)
    assert len(packed[1]) == 2  # virtual tokens and head
    model.classifier.set_input_embeddings(model.classifier.get_input_embeddings().words)
    model.classifier.set_attn_implementation("eager")
    plain_way = plain_gradients(tuned, data, reward_of)
    plain_way[1]["base_model.model.embed_tokens.virtual"] = plain_way[1].pop("prompt_encoder.default.embedding.weight")
    same(packed, plain_way)


@pytest.mark.parametrize("plain_head", [True, False])
def test_mean_log_probabilities_get_the_gradients_of_plain_passes(
    plain_head: bool, tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    folder = tiny_model_dir("llama")
    arguments = arguments_for(folder, source)
    model = dataclasses.replace(load_base_model(folder, arguments, False), plain_head=plain_head)
    tuned = add_lora(model.network, arguments, folder, "CAUSAL_LM")
    data = read_training_data(source, None, 0, model.tokenizer, 256)

    def score(network: Any, sequence: Any) -> Any:
        logits = network(input_ids=torch.tensor([list(sequence.ids)])).logits[0].log_softmax(-1)
        return torch.stack([logits[place - 1, sequence.ids[place]] for place in sequence.response]).mean()

    trainee = Trainee(model, trainable(tuned), lambda micro: mean_log_probabilities(model, micro))
    packed = gradients(trainee, data)
    model.network.set_attn_implementation("eager")
    same(packed, plain_gradients(tuned, data, score))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_token_budget_changes_nothing_with_dropout_either(
    dropout: float, tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    folder = tiny_model_dir("llama")
    model, tuned, data = lora(folder, arguments_for(folder, source, lora_dropout=dropout))
    trainee = reward_trainee(model, tuned)
    whole = gradients(trainee, data)
    same(gradients(trainee, data, budget=1), whole)
    same(gradients(trainee, data, budget=150), whole)


def test_gradient_checkpointing_changes_nothing(tiny_model_dir: Callable[..., Path], source: Path) -> None:
    folder = tiny_model_dir("llama")
    model, tuned, data = lora(folder, arguments_for(folder, source, lora_dropout=0.3))
    trainee = reward_trainee(model, tuned)
    kept = gradients(trainee, data)
    enable_gradient_checkpointing(model.language_model.decoder)
    calls = []
    block = model.language_model.decoder.layers[0]
    block.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    again = gradients(trainee, data)
    assert len(calls) == 2  # forward, and once more on the way back
    same(again, kept, tolerance=1e-7)


def test_a_model_that_cannot_take_packed_rows_is_trained_on_padded_ones(
    tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    folder = tiny_model_dir("llama")
    model, tuned, data = lora(folder, arguments_for(folder, source))
    packed = gradients(reward_trainee(model, tuned), data)
    model.classifier.set_attn_implementation("sdpa")
    padded = dataclasses.replace(model, language_model=dataclasses.replace(model.language_model, packs=False))
    same(gradients(reward_trainee(padded, tuned), data, budget=200), packed)


@pytest.mark.parametrize("hashed", [False, True])
def test_dropout_leaves_out_its_share_differs_by_step_pair_and_layer_and_is_off_in_evaluation(
    hashed: bool, tiny_model_dir: Callable[..., Path], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genies.methods.training import dropout
    from genies.methods.training.dropout import Draw, PairDropout, drawing
    from genies.methods.training.micro_batches import Stretch

    monkeypatch.setattr(dropout, "HASHED_DEVICES", frozenset({"cpu"}) if hashed else frozenset())

    values = torch.ones(1, 400, 50)
    stretches = [Stretch(0, 0, 0, 200), Stretch(1, 0, 200, 400)]

    def masked(layer: int = 0, step: int = 0) -> torch.Tensor:
        with drawing(Draw(0, step, stretches, tokens=400)):
            return PairDropout(0.25, layer)(values)[0]

    found = masked()
    assert found.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(found, masked())
    for other in (masked(layer=1), masked(step=1), torch.cat([found[200:], found[:200]]), found.roll(1, 0)):
        assert float((found == other).float().mean()) == pytest.approx(0.75**2 + 0.25**2, abs=0.02)
    assert torch.equal(PairDropout(0.25, 0)(values), values)
    folder = tiny_model_dir("llama")
    _, tuned, _ = lora(folder, arguments_for(folder, source, lora_dropout=0.3))
    kinds = {type(module) for module in tuned.modules()}
    assert PairDropout in kinds
    assert torch.nn.Dropout not in kinds


def test_out_of_memory_halves_the_budget_and_changes_nothing(
    tiny_model_dir: Callable[..., Path], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_model_dir("llama")
    model, tuned, data = lora(folder, arguments_for(folder, source))
    trainee = reward_trainee(model, tuned)

    def narrow(micro: Any) -> Any:
        if len(micro.sequences) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return trainee.scores(micro)

    same(gradients(dataclasses.replace(trainee, scores=narrow), data, budget=400), gradients(trainee, data))
    assert "--batch_tokens" in capsys.readouterr().err
