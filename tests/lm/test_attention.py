from typing import Any

import pytest
import torch

from genies.lm import attention
from genies.lm.packing import pack
from genies.lm.scoring import response_log_probabilities
from genies.lm.text import encode
from tests.lm.test_scoring import TEXTS
from tests.support.tiny_models import FAMILIES

SEQUENCES = [[*range(3, 13), *branch] for branch in ([20, 21, 22], [20, 21, 30, 31, 32], [40], [41, 42, 43, 44])]


WAYS = {"by run": (frozenset({"cpu"}), 0), "in groups": (frozenset(), 0), "one mask": (frozenset(), 1024)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Attention is computed in each of the ways."""
    devices, longest = WAYS[request.param]
    monkeypatch.setattr(attention, "DEVICES_BY_RUN", devices)
    monkeypatch.setattr(attention, "WHOLE_ROW_TOKENS", longest)
    return request.param


@pytest.mark.parametrize("window", [None, 3, 12])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_rows_attend_as_softmax_over_the_mask_says(window, key_heads, way):
    row = pack(SEQUENCES, least_shared=1)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, len(row.ids), 8, generator=generator)
    key, value = (torch.randn(1, key_heads, len(row.ids), 8, generator=generator) for _ in range(2))
    with attention.attending(row):
        found, _ = attention.attend(torch.nn.Module(), query, key, value, None, scaling=0.3, sliding_window=window)
    repeated = [part.repeat_interleave(4 // key_heads, dim=1) for part in (key, value)]
    scores = (query @ repeated[0].transpose(2, 3) * 0.3).masked_fill(~row.mask(window), float("-inf"))
    torch.testing.assert_close(found, (scores.softmax(-1) @ repeated[1]).transpose(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("longest", [0, 1024])
@pytest.mark.parametrize("family", FAMILIES)
def test_few_calls_for_the_row_score_as_run_by_run(family, longest, tiny_model, monkeypatch):
    model = tiny_model(family)
    sequences = encode(model.tokenizer, TEXTS)
    expected, _ = response_log_probabilities(model, sequences)
    monkeypatch.setattr(attention, "DEVICES_BY_RUN", frozenset())
    monkeypatch.setattr(attention, "WHOLE_ROW_TOKENS", longest)
    totals, _ = response_log_probabilities(model, sequences)
    assert totals == pytest.approx(expected, abs=1e-4)


def test_gradients_through_a_row_are_those_of_plain_forwards(way, tiny_model, tiny_model_dir):
    from transformers import AutoModelForCausalLM

    row = pack(SEQUENCES, least_shared=1)
    gradients = []
    for packed in (True, False):
        network = AutoModelForCausalLM.from_pretrained(
            tiny_model_dir("llama"), attn_implementation=attention.NAME if packed else "eager"
        ).model
        if packed:
            with attention.attending(row):
                hidden = network(torch.tensor([row.ids]), position_ids=torch.tensor([row.positions])).last_hidden_state
            last = [hidden[0, row.indices(place)[-1]] for place in range(len(SEQUENCES))]
        else:
            last = [network(torch.tensor([ids])).last_hidden_state[0, -1] for ids in SEQUENCES]
        sum((place + 1) * each @ torch.linspace(-1, 1, 32).sin() for place, each in enumerate(last)).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for found, expected in zip(*gradients, strict=True):
        assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("names", ["softcap", "s_aux", "alibi", "softcap s_aux alibi"])
def test_caps_sinks_and_biases_of_scores_are_those_of_one_softmax(names, key_heads, window):
    row = pack(SEQUENCES, least_shared=1)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, heads, len(row.ids), 8, generator=generator) for heads in (4, key_heads, key_heads)]
    query, key, value = (each.requires_grad_() for each in inputs)
    sinks, slopes = torch.randn(4, generator=generator, requires_grad=True), torch.tensor([0.1, 0.2, 0.3, 0.4])
    alibi = lambda length: slopes[:, None] * torch.arange(length)  # noqa: E731
    extras: dict[str, Any] = {"softcap": 0.5, "s_aux": sinks, "alibi": alibi}
    given = {name: extras[name] for name in names.split()}
    with attention.attending(row):
        found, _ = attention.attend(torch.nn.Module(), query, key, value, None, 0.3, 0.0, window, **given)
    key, value = (part.repeat_interleave(4 // key_heads, dim=1) for part in (key, value))
    scores = query @ key.transpose(2, 3) * 0.3
    if "softcap" in given:
        scores = 0.5 * torch.tanh(scores / 0.5)
    if "alibi" in given:
        scores = scores + slopes[:, None, None] * torch.tensor(row.positions)
    scores = scores.masked_fill(~row.mask(window), float("-inf"))
    if "s_aux" in given:
        scores = torch.cat([scores, sinks.reshape(1, -1, 1, 1).expand(1, -1, len(row.ids), 1)], dim=3)
    expected = (scores.softmax(-1)[..., : len(row.ids)] @ value).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    differentiated = [*inputs, *([sinks] if "s_aux" in given else [])]
    gradients = [torch.autograd.grad(each.square().sum(), differentiated) for each in (found, expected)]
    for gradient, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, of_expected, atol=1e-5, rtol=1e-4)


def test_extras_that_change_attention_are_refused():
    query = torch.zeros(1, 1, 1, 4)
    with (
        attention.attending(pack([[1]])),
        pytest.raises(attention.UnsupportedAttention, match="position_bias"),
    ):
        attention.attend(torch.nn.Module(), query, query, query, None, position_bias=query)
