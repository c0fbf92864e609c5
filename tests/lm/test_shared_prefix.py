from dataclasses import replace

import numpy as np
import pytest
import torch

from genies.lm import attention, scoring, shared_prefix
from genies.lm.model import load_model
from genies.lm.packing import Run, pack
from genies.lm.shared_prefix import after, response_log_probabilities
from genies.lm.text import encode
from tests.support.plain import plain_log_probability
from tests.support.tiny_models import FAMILIES

BEGINNING = "### Instruction: Which city is the capital of France? ### Response: Paris.\n\n"
TEXTS = [
    (BEGINNING + prompt, response)
    for prompt in ("### Instruction: Add 12 and 30. ### Response:", "### Instruction: warm?", "")
    for response in (" Paris is the capital.", " Paris is not.", "", " 42")
]


@pytest.mark.parametrize(
    ("devices", "longest"),
    [(frozenset({"cpu"}), 0), (frozenset(), 0), (frozenset(), 1024)],
    ids=["by_run", "in_groups", "one_mask"],
)
@pytest.mark.parametrize("tokenizer", ["byte_level", "metaspace"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_plain_forward_passes(
    family, tokenizer, devices, longest, tiny_model, tiny_model_dir, monkeypatch
):
    monkeypatch.setattr(attention, "DEVICES_BY_RUN", devices)
    monkeypatch.setattr(attention, "WHOLE_ROW_TOKENS", longest)
    model = tiny_model(family, tokenizer)
    sequences = encode(model.tokenizer, TEXTS)
    totals, counts = response_log_probabilities(model, sequences, batch_tokens=40)
    expected = [
        plain_log_probability(tiny_model_dir(family, tokenizer), sequence.ids, sequence.response)
        for sequence in sequences
    ]
    assert totals == pytest.approx(expected, abs=1e-4)
    assert counts.tolist() == [len(sequence.response) for sequence in sequences]


def test_the_beginning_is_computed_once(tiny_model):
    model = tiny_model("llama")
    sequences = encode(model.tokenizer, TEXTS)
    seen: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _module, positional, _named: seen.append(positional[0].shape[1]), with_kwargs=True
    )
    try:
        response_log_probabilities(model, sequences, batch_tokens=1)
    finally:
        hook.remove()
    shared = len(encode(model.tokenizer, [(BEGINNING, "")])[0].ids) - 1
    assert len(seen) == 1 + len(set(sequences))
    assert shared - 3 <= seen[0] <= shared
    assert sum(seen) == seen[0] + sum(len(sequence.ids) - seen[0] for sequence in sequences)


def test_a_head_that_does_more_than_a_product_is_run_whole(tiny_model):
    model = tiny_model("llama")
    sequences = encode(model.tokenizer, TEXTS)
    totals, _ = response_log_probabilities(replace(model, plain_head=False), sequences)
    assert totals == pytest.approx(scoring.response_log_probabilities(model, sequences)[0], abs=1e-4)


def test_sequences_that_share_nothing_are_scored_as_they_are(tiny_model):
    model = tiny_model("gpt2")
    sequences = encode(model.tokenizer, [("Paris", " is"), ("warm", " water"), ("", " 42")])
    assert np.array_equal(
        response_log_probabilities(model, sequences)[0], scoring.response_log_probabilities(model, sequences)[0]
    )
    assert response_log_probabilities(model, [])[0].tolist() == []


def test_a_model_that_takes_no_packed_rows_gets_whole_sequences(tiny_model, tiny_model_dir, monkeypatch):
    model = replace(load_model(tiny_model_dir("llama"), of_transformers=True), packs=False)
    sequences = encode(model.tokenizer, TEXTS)
    expected = scoring.response_log_probabilities(tiny_model("llama"), sequences)[0]
    model.network.set_attn_implementation("sdpa")
    assert response_log_probabilities(model, sequences)[0] == pytest.approx(expected, abs=1e-4)


def test_the_model_is_left_as_it_was(tiny_model):
    model = tiny_model("mistral")
    sequences = encode(model.tokenizer, TEXTS)
    before = scoring.response_log_probabilities(model, sequences)[0]
    response_log_probabilities(model, sequences)
    assert model.network.config._attn_implementation == attention.NAME
    assert np.array_equal(scoring.response_log_probabilities(model, sequences)[0], before)


def test_without_the_memory_for_the_beginning_alone_rows_are_tried(tiny_model, monkeypatch):
    model = tiny_model("llama")
    sequences = encode(model.tokenizer, TEXTS)
    expected = scoring.response_log_probabilities(model, sequences)[0]

    def full(*_arguments, **_named):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(shared_prefix.attention, "attending", full)
    assert not shared_prefix.Prefix(sequences[0].ids[:9]).compute(model)
    monkeypatch.undo()
    monkeypatch.setattr(shared_prefix.Prefix, "compute", lambda *_: False)
    assert np.array_equal(response_log_probabilities(model, sequences)[0], expected)


def test_a_row_after_a_prefix_is_the_row_of_whole_sequences():
    assert after([7, 8], pack([[1, 2], [1, 3]], least_shared=1)).runs[1:] == (
        Run(2, 4, ((0, 2),)),
        Run(4, 5, ((0, 2), (2, 3))),
    )
    row = after([7, 8, 9], pack([[1, 2], [1, 3]], least_shared=1))
    whole = pack([[7, 8, 9, 1, 2], [7, 8, 9, 1, 3]], least_shared=1)
    assert (row.ids, row.positions) == (whole.ids, whole.positions)
    assert [row.indices(place) for place in range(2)] == [whole.indices(place) for place in range(2)]
    assert torch.equal(row.mask(), whole.mask())
    assert torch.equal(row.mask(2), whole.mask(2))
