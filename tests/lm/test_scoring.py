from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genies.lm import forward
from genies.lm.capability import Capability, check_network
from genies.lm.model import load_model
from genies.lm.scoring import blockwise_log_probabilities, response_log_probabilities, token_log_probabilities
from genies.lm.text import TokenSequence, encode
from tests.support.plain import plain_log_probability
from tests.support.tiny_models import FAMILIES

TEXTS = [
    (prompt, response)
    for prompt in ("### Instruction: Which city is the capital of France? ### Response:", "Add 12 and 30.", "warm", "x")
    for response in (" Paris is the capital.", " Paris is not.", "", " The sum of the numbers is 42.", " 42", "er")
]


@st.composite
def random_trees(draw):
    """Sequences that branch from one another at random places, some longer than a tiny sliding window."""
    sequences: list[list[int]] = []
    for _ in range(draw(st.integers(1, 6))):
        beginning = []
        if sequences and draw(st.booleans()):
            parent = draw(st.sampled_from(sequences))
            beginning = parent[: draw(st.integers(1, len(parent)))]
        sequences.append(beginning + draw(st.lists(st.integers(3, 380), min_size=1, max_size=14)))
    return sequences


def as_response(ids):
    return TokenSequence(tuple(ids), tuple(range(len(ids) // 2, len(ids))))


@pytest.mark.parametrize("family", FAMILIES)
def test_random_trees_score_as_one_plain_forward_for_each_path(family, tiny_model, tiny_model_dir, monkeypatch):
    for function in (forward.pack, forward.plan_rows):
        monkeypatch.setattr(forward, function.__name__, partial(function, least_shared=1))
    model, folder = tiny_model(family), tiny_model_dir(family)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(random_trees(), st.integers(1, 60))
    def check(trees, batch_tokens):
        sequences = [as_response(ids) for ids in trees]
        totals, counts = response_log_probabilities(model, sequences, batch_tokens)
        expected = [plain_log_probability(folder, sequence.ids, sequence.response) for sequence in sequences]
        assert totals == pytest.approx(expected, abs=1e-4)
        assert counts.tolist() == [sum(place > 0 for place in sequence.response) for sequence in sequences]

    check()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tokenizer", ["byte_level", "byte_level_with_bos"])
def test_texts_score_as_one_plain_forward_each(family, tokenizer, tiny_model, tiny_model_dir):
    model = tiny_model(family, tokenizer)
    assert model.packs
    assert model.plain_head
    sequences = encode(model.tokenizer, TEXTS)
    totals, _ = response_log_probabilities(model, sequences)
    folder = tiny_model_dir(family, tokenizer)
    assert totals == pytest.approx(
        [plain_log_probability(folder, each.ids, each.response) for each in sequences], abs=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_each_token_scores_as_in_one_plain_forward(family, tiny_model, tiny_model_dir):
    sequences = encode(tiny_model(family).tokenizer, TEXTS)
    found = token_log_probabilities(tiny_model(family), sequences, batch_tokens=40)
    for sequence, values in zip(sequences, found, strict=True):
        places = [place for place in sequence.response if place > 0]
        plain = [plain_log_probability(tiny_model_dir(family), sequence.ids, [place]) for place in places]
        assert values == pytest.approx(plain, abs=1e-4)


def test_sentencepiece_texts_score_as_plain(tiny_model, tiny_model_dir):
    model = tiny_model("llama", "metaspace")
    sequences = encode(model.tokenizer, TEXTS)
    totals, _ = response_log_probabilities(model, sequences)
    folder = tiny_model_dir("llama", "metaspace")
    assert totals == pytest.approx(
        [plain_log_probability(folder, each.ids, each.response) for each in sequences], abs=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_do_not_depend_on_order_or_batch_size(family, tiny_model):
    model = tiny_model(family)
    sequences = encode(model.tokenizer, TEXTS)
    expected, _ = response_log_probabilities(model, sequences)
    for batch_tokens in (1, 37, 100_000):
        order = np.random.default_rng(batch_tokens).permutation(len(sequences))
        totals, _ = response_log_probabilities(model, [sequences[place] for place in order], batch_tokens)
        assert totals == pytest.approx(expected[order], abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_batches_give_the_same_scores_whatever_the_padding_side(family, tiny_model_dir):
    packed = load_model(tiny_model_dir(family), of_transformers=True)
    sequences = encode(packed.tokenizer, TEXTS)
    expected, _ = response_log_probabilities(packed, sequences)
    packed.network.set_attn_implementation("sdpa")
    padded = replace(packed, packs=False)
    for side in ("left", "right"):
        padded.tokenizer.padding_side = side
        assert encode(padded.tokenizer, TEXTS) == sequences
        totals, _ = response_log_probabilities(padded, sequences, batch_tokens=150)
        assert totals == pytest.approx(expected, abs=1e-4)


def test_a_head_that_is_more_than_a_matrix_is_found_out_and_scored_by_the_model_itself(tiny_model_dir):
    model = load_model(tiny_model_dir("llama"), of_transformers=True)
    plain_forward = model.network.forward

    def halved(*args, **kwargs):
        output = plain_forward(*args, **kwargs)
        output.logits = output.logits / 2
        return output

    model.network.forward = halved
    model.network.set_attn_implementation("sdpa")
    assert check_network(model.network, "tiny") == Capability(packs=True, pads=True, plain_head=False, causal=True)
    sequences = encode(model.tokenizer, TEXTS[:6])
    totals, _ = response_log_probabilities(replace(model, plain_head=False), sequences)
    model.network.set_attn_implementation("sdpa")
    for sequence, total in zip(sequences, totals, strict=True):
        logits = model.network(torch.tensor([sequence.ids])).logits[0].log_softmax(-1)
        expected = sum(logits[place - 1, sequence.ids[place]].item() for place in sequence.response)
        assert total == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("with_bias", [False, True])
def test_blocks_of_the_vocabulary_give_the_log_softmax(block, with_bias):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 8, generator=generator) * 20
    weight = torch.randn(64, 8, generator=generator)
    bias = torch.randn(64, generator=generator) if with_bias else None
    which, targets = torch.tensor([0, 4, 4, 2]), torch.tensor([0, 63, 5, 31])
    found = blockwise_log_probabilities(hidden, weight, bias, which, targets, block)
    expected = torch.nn.functional.linear(hidden, weight, bias).double().log_softmax(-1)[which, targets]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)


def test_running_out_of_memory_halves_the_batch_and_says_so(tiny_model, monkeypatch, capsys):
    model = tiny_model("llama")
    sequences = encode(model.tokenizer, TEXTS)
    expected, _ = response_log_probabilities(model, sequences)
    plain_call = forward.call

    def call(model, network, batch):
        if batch.ids.numel() > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain_call(model, network, batch)

    monkeypatch.setattr(forward, "call", call)
    totals, _ = response_log_probabilities(model, sequences, batch_tokens=200)
    assert totals == pytest.approx(expected, abs=1e-4)
    assert "--batch_tokens 50" in capsys.readouterr().err
