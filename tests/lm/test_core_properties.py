"""Properties of the core that hold for any tree of texts: what is read equals plain forward passes, whatever the
packing, the memory there is, and the way a model takes its sequences."""

import doctest
import importlib
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm import forward, shared_prefix
from genies.lm.activations import last_token_activations
from genies.lm.capability import is_out_of_memory
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.sites import Site, all_sites
from genies.lm.text import TokenSequence, encode
from genies.methods.templates import YES_NO
from tests.lm.test_activations import plain_heads
from tests.lm.test_model import OPENAI_GPT
from tests.lm.test_scoring import TEXTS, as_response, random_trees
from tests.support.plain import plain_hidden_states, plain_log_probability
from tests.support.tiny_models import FAMILIES, TOKENIZERS, make_tokenizer

few = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@pytest.fixture
def branch_anywhere(monkeypatch):
    """A shared token suffices for a branch, so that small trees branch too."""
    for function in (forward.pack, forward.plan_rows):
        monkeypatch.setattr(forward, function.__name__, partial(function, least_shared=1))


@pytest.mark.usefixtures("branch_anywhere")
@pytest.mark.parametrize("family", FAMILIES)
def test_random_trees_have_the_activations_of_one_plain_forward_for_each_path(family, tiny_model, tiny_model_dir):
    model, folder = tiny_model(family), tiny_model_dir(family)

    @few(max_examples=15)
    @given(random_trees(), st.integers(1, 60))
    def check(trees, batch_tokens):
        heads = last_token_activations(model, trees, all_sites(2, 4, "heads"), batch_tokens)
        blocks = last_token_activations(model, trees, [Site(0)], batch_tokens)
        for place, ids in enumerate(trees):
            expected = plain_heads(folder, family, ids)
            np.testing.assert_allclose(heads[place].reshape(expected.shape), expected, atol=1e-4)
            np.testing.assert_allclose(blocks[place], plain_hidden_states(folder, ids), atol=1e-4)

    check()


@pytest.mark.usefixtures("branch_anywhere")
@pytest.mark.parametrize("family", FAMILIES)
def test_random_trees_after_a_shared_beginning_score_as_plain(family, tiny_model, tiny_model_dir):
    model, folder = tiny_model(family), tiny_model_dir(family)
    beginnings = st.lists(st.integers(3, 380), min_size=shared_prefix.LEAST_SHARED + 1, max_size=20)

    @few(max_examples=15)
    @given(beginnings, random_trees(), st.integers(1, 60))
    def check(beginning, trees, batch_tokens):
        length = len(beginning)
        sequences = [
            TokenSequence((*beginning, *each.ids), tuple(length + place for place in each.response))
            for each in map(as_response, trees)
        ]
        totals, _ = shared_prefix.response_log_probabilities(model, sequences, batch_tokens)
        expected = [plain_log_probability(folder, each.ids, each.response) for each in sequences]
        assert totals == pytest.approx(expected, abs=1e-4)

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_begin_alike_at_length_have_the_activations_of_plain_forwards(family, tiny_model, tiny_model_dir):
    model, folder = tiny_model(family), tiny_model_dir(family)
    beginnings = st.lists(st.integers(3, 380), min_size=33, max_size=40)

    @few(max_examples=8)
    @given(beginnings, random_trees(), st.integers(1, 60))
    def check(beginning, trees, batch_tokens):
        sequences = [[*beginning, *ids] for ids in trees]
        heads = last_token_activations(model, sequences, all_sites(2, 4, "heads"), batch_tokens)
        for values, ids in zip(heads, sequences, strict=True):
            expected = plain_heads(folder, family, ids)
            np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-4)

    check()


@pytest.mark.usefixtures("branch_anywhere")
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_two_endings_of_each_response_are_nested_branches_read_as_plain(family, tokenizer, tiny_model, tiny_model_dir):
    model, folder = tiny_model(family, tokenizer), tiny_model_dir(family, tokenizer)
    pair = Pair(0, "### Instruction: Which city is the capital of France? ### Response:", " Paris is", " water is")
    texts = [(each.prompt, text) for each in (part.wrap(pair) for part in YES_NO) for text in (each.best, each.worse)]
    ids = [sequence.ids for sequence in encode(model.tokenizer, texts)]
    row = forward.pack(sorted(ids))
    assert max(len(run.prefix) for run in row.runs) >= 2  # prompt, response, ending
    assert len(row.ids) < 0.6 * sum(map(len, ids))
    found = last_token_activations(model, ids, all_sites(2, 4, "heads"))
    for values, each in zip(found, ids, strict=True):
        expected = plain_heads(folder, family, each)
        np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-4)


@pytest.fixture
def little_memory(monkeypatch):
    """A function that sets how many tokens fit into a forward pass."""
    plain_call = forward.call

    def set_limit(tokens):
        def call(model, network, batch):
            if batch.ids.numel() > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return plain_call(model, network, batch)

        monkeypatch.setattr(forward, "call", call)
        monkeypatch.setattr("genies.lm.activations.call", call)

    return set_limit


@pytest.mark.parametrize("packs", [True, False])
def test_activations_survive_running_out_of_memory(packs, tiny_model_dir, little_memory, capsys):
    model = load_model(tiny_model_dir("llama"), of_transformers=True)
    ids = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    expected = last_token_activations(model, ids, [Site(1)])
    if not packs:
        model.network.set_attn_implementation("sdpa")
        model = replace(model, packs=False)
    little_memory(max(map(len, ids)))
    found = last_token_activations(model, ids, [Site(1)], batch_tokens=8 * max(map(len, ids)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert re.search(r"out of memory on cpu: .*--batch_tokens \d+", capsys.readouterr().err)


def test_a_sequence_that_never_fits_is_a_message_with_its_length(tiny_model, little_memory):
    model = tiny_model("llama")
    sequences = encode(model.tokenizer, TEXTS)
    longest = max(len(sequence.ids) for sequence in sequences)
    little_memory(longest - 1)
    with pytest.raises(InputError, match=f"one sequence of at most {longest} tokens") as caught:
        response_log_probabilities(model, sequences)
    assert "--dtype bfloat16" in str(caught.value)


def test_what_is_no_lack_of_memory_is_not_tried_again(tiny_model, monkeypatch):
    def call(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(forward, "call", call)
    with pytest.raises(RuntimeError, match="a defect"):
        response_log_probabilities(tiny_model("llama"), encode(make_tokenizer("byte_level"), TEXTS))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("not enough memory"))


def test_a_model_without_packed_rows_gets_like_lengths_together_longest_first(tiny_model_dir):
    model = replace(load_model(tiny_model_dir("llama"), of_transformers=True), packs=False)
    model.network.set_attn_implementation("sdpa")
    sequences = encode(model.tokenizer, TEXTS)
    shapes: list[tuple[int, ...]] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _module, positional, _named: shapes.append(tuple(positional[0].shape)), with_kwargs=True
    )
    try:
        response_log_probabilities(model, sequences, batch_tokens=100)
    finally:
        hook.remove()
    widths = [width for _, width in shapes]
    assert widths == sorted(widths, reverse=True)
    assert sum(rows for rows, _ in shapes) == len(sequences)
    assert all(rows * width <= 100 or rows == 1 for rows, width in shapes)
    assert sum(rows * width for rows, width in shapes) < 1.5 * sum(len(each.ids) for each in sequences)


def test_a_model_without_packed_rows_has_plain_activations(tmp_path, capsys):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(OPENAI_GPT).save_pretrained(tmp_path)
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    capsys.readouterr()
    model = load_model(tmp_path)
    assert capsys.readouterr().err.count("warning") == 1
    ids = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    found = last_token_activations(model, ids, [Site(0)], batch_tokens=100)
    heads = last_token_activations(model, ids, all_sites(2, 4, "heads"), batch_tokens=100)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    given: list[torch.Tensor] = []
    for block in plain.transformer.h:
        block.attn.c_proj.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0][0, -1]))
    for values, of_heads, each in zip(found, heads, ids, strict=True):
        given.clear()
        with torch.inference_mode():
            states = plain(torch.tensor([each]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(values[0], states[1][0, -1].numpy(), atol=1e-4)
        np.testing.assert_allclose(of_heads.reshape(2, -1), torch.stack(given).numpy(), atol=1e-4)
    assert capsys.readouterr().err.count("warning") == 0


@pytest.mark.parametrize("name", ["packing", "scoring", "shared_cache", "shared_prefix", "starter_model"])
def test_the_examples_in_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(f"genies.lm.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
