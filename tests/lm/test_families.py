"""Families of models against plain forward passes of transformers: scores, activations and the first loss.

Each represents a kind (tests/support/families.py). Lengths are on both sides of the limits from which some families
compute otherwise: sliding windows, sparse attention, chunks, rotary frequencies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genies.command_line import validate
from genies.lm.activation_reader import ActivationReader
from genies.lm.arguments import ModelArguments
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.shared_prefix import response_log_probabilities as after_shared_prefix
from genies.lm.text import TokenSequence
from genies.methods.training.adapters import add_lora
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.decoder_head import DecoderWithHead, network_to_adapt
from genies.methods.training.gradients import step_gradients
from genies.methods.training.loop import make_accelerator
from genies.methods.training.pairs import TrainingPair
from genies.methods.training.reward_model import add_head
from genies.methods.training.tuning import reward_trainee
from tests.support.families import FAMILIES, plain_family, write_family


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a family's name to its model folder."""

    @cache
    def folder(name: str) -> Path:
        return write_family(tmp_path_factory.mktemp("family") / name, name)

    return folder


@pytest.fixture(scope="module")
def network_of(folder_of: Callable[[str], Path]) -> Callable[[str], Any]:
    """A function from a family's name to its plain network."""

    @cache
    def network(name: str) -> Any:
        return plain_family(folder_of(name), name)

    return network


def _drawn(length: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(3, 390, length).tolist())


_TRUNKS = [_drawn(12, 0), _drawn(30, 1)]
_LENGTHS = ((5, 3), (9, 20), (2, 11), (25, 4))
PAIRS = [
    tuple((*_TRUNKS[number % 2], *_drawn(length, 10 * number + place)) for place, length in enumerate(lengths))
    for number, lengths in enumerate(_LENGTHS)
]
"""Two token sequences each that begin alike, of 14 to 50 tokens; of one pair only one is longer than 32."""

SEQUENCES = [
    TokenSequence(ids, tuple(range(len(_TRUNKS[number % 2]), len(ids))))
    for number, pair in enumerate(PAIRS)
    for ids in pair
]


PER_TOKEN = 3e-6
"""The largest difference of log-probability per token; float32 passes of one model differ by up to 2e-6."""


def _attended(network: Any, ids: tuple[int, ...], **options: Any) -> Any:
    return network(input_ids=torch.tensor([list(ids)]), use_cache=False, **options)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_probabilities_are_those_of_plain_forward_passes(
    name: str, folder_of: Callable[[str], Path], network_of: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = []
    with torch.inference_mode():
        for each in SEQUENCES:
            logits = _attended(network_of(name), each.ids).logits[0].double().log_softmax(-1)
            expected.append(float(sum(logits[place - 1, each.ids[place]] for place in each.response)))
    assert np.std(expected) > 1
    capsys.readouterr()
    model = load_model(folder_of(name))
    assert model.packs == FAMILIES[name].packs
    assert model.continues == FAMILIES[name].continues
    assert capsys.readouterr().err.count("packed rows") == (not model.packs)
    for batch_tokens in (None, 70):
        totals, counts = response_log_probabilities(model, SEQUENCES, batch_tokens)
        assert totals / counts == pytest.approx(expected / counts, abs=PER_TOKEN)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.packs])
def test_a_beginning_that_is_computed_once_changes_no_score(name: str, folder_of: Callable[[str], Path]) -> None:
    model = load_model(folder_of(name))
    # Below the length from which some rotary frequencies differ, or the beginning is computed in every row.
    chosen = [each for each in SEQUENCES if len(each.ids) < 30]
    beginning = _drawn(10, 99)
    chosen = [TokenSequence((*beginning, *each.ids[12:]), tuple(range(10, len(each.ids) - 2))) for each in chosen]
    expected, counts = response_log_probabilities(model, chosen)
    for batch_tokens in (None, 8):
        totals, _ = after_shared_prefix(model, chosen, batch_tokens)
        assert totals / counts == pytest.approx(expected / counts, abs=PER_TOKEN)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.continues])
def test_responses_continue_from_the_cache_of_their_prompt(
    name: str, folder_of: Callable[[str], Path], network_of: Callable[[str], Any]
) -> None:
    prompts = [_drawn(41, 70), _drawn(36, 71)]
    chosen = [
        TokenSequence((*prompt, *_drawn(length, length)), tuple(range(len(prompt), len(prompt) + length)))
        for prompt in prompts
        for length in (9, 4, 12)
    ]
    chosen += [TokenSequence(prompts[1], (30, 31)), TokenSequence(_drawn(20, 72), (8, 9))]
    expected = []
    with torch.inference_mode():
        for each in chosen:
            logits = _attended(network_of(name), each.ids).logits[0].double().log_softmax(-1)
            expected.append(float(sum(logits[place - 1, each.ids[place]] for place in each.response)))
    model = load_model(folder_of(name))
    seen: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _module, positional, _named: seen.append(positional[0].numel()), with_kwargs=True
    )
    for batch_tokens in (None, 70):
        seen.clear()
        totals, counts = response_log_probabilities(model, chosen, batch_tokens)
        assert totals / counts == pytest.approx(expected / counts, abs=1e-5)
        if batch_tokens is None:
            assert seen == [41, 3 * 12, 35, 4 * 13, 20]
    hook.remove()


@pytest.mark.parametrize("name", FAMILIES)
def test_activations_are_those_of_plain_forward_passes(
    name: str, folder_of: Callable[[str], Path], network_of: Callable[[str], Any]
) -> None:
    network, projections = network_of(name), FAMILIES[name].projections
    heads, states = [], []
    for each in SEQUENCES:
        found: dict[str, torch.Tensor] = {}

        def keep(module: Any, inputs: Any, found: dict[str, torch.Tensor] = found) -> None:
            found[next(key for key in projections if network.get_submodule(key) is module)] = inputs[0][0, -1]

        hooks = [network.get_submodule(key).register_forward_pre_hook(keep) for key in projections]
        with torch.inference_mode():
            output = _attended(network, each.ids, output_hidden_states=True)
        for hook in hooks:
            hook.remove()
        heads.append([found[key] for key in projections])
        # The state after the last block is not among them: transformers puts the final norm's output in its place.
        states.append(output.hidden_states[FAMILIES[name].first_state])
    texts = [each.ids for each in SEQUENCES]
    for budget in (None, 70):
        reader = ActivationReader(folder_of(name), ModelArguments(no_cache=True), budget)
        if reader.outline.sites("heads"):
            got = reader(texts, reader.outline.sites("heads")).reshape(len(texts), len(projections), 4, -1)
            for place in range(len(projections)):
                expected = torch.stack([each[place] for each in heads]).unflatten(-1, (4, -1)).numpy()
                width = expected.shape[-1]
                np.testing.assert_allclose(got[:, place, :, :width], expected, atol=2e-5 * np.abs(expected).max())
                assert not got[:, place, :, width:].any()
        else:
            assert not projections
        got = reader(texts, reader.outline.sites("blocks"))
        # Gemma 3n has four states of a token, of which the first is the active one.
        expected = torch.stack([each.reshape(-1, *each.shape[-3:])[0, 0, -1] for each in states]).numpy()
        np.testing.assert_allclose(got[:, 0], expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_margins_of_lora_are_those_of_plain_forward_passes(
    name: str, folder_of: Callable[[str], Path], network_of: Callable[[str], Any]
) -> None:
    values = {"model_dir": folder_of(name), "train_distribution": "unused", "output_dir": "unused", "device": "cpu"}
    arguments = validate(LoraArguments, {**values, "lora_rank": 2})
    model = add_head(load_model(folder_of(name), of_transformers=True), seed=0)
    assert isinstance(model.classifier, DecoderWithHead) == FAMILIES[name].own_head
    decoder = network_of(name).get_submodule(FAMILIES[name].decoder)
    with torch.inference_mode():
        weight = model.head.weight[0].clone()
        rewards = [[float(_attended(decoder, ids).last_hidden_state[0, -1] @ weight) for ids in pair] for pair in PAIRS]
    expected = [best - worse for best, worse in rewards]
    assert np.std(expected) > 0.1
    network, task = network_to_adapt(model.classifier)
    trainee = reward_trainee(model, add_lora(network, arguments, folder_of(name), task))
    texts = [[TokenSequence(ids, (len(ids) - 1,)) for ids in pair] for pair in PAIRS]
    pairs = [TrainingPair(index, best, worse) for index, (best, worse) in enumerate(texts)]
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for budget in (1, 10**6):
        # Adapters begin with nothing to add, so that their dropout, which is on, shows in gradients alone.
        scores, _ = step_gradients(trainee, pairs, 0, 0, budget, make_accelerator(arguments), scaler, torch.float32)
        margins = scores[:, 0, 0] - scores[:, 1, 0]
        assert margins.tolist() == pytest.approx(expected, abs=1e-5 * np.abs(rewards).max())
    without = [key for key, value in trainee.parameters.items() if value.grad is None and "lora_B" in key]
    assert not without
