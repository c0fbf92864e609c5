"""Activations of pairs under templates, against transformers' own hidden states of the same texts."""

import numpy as np
import pytest

from genies.data.distribution import Pair
from genies.lm.activation_reader import ActivationReader
from genies.lm.arguments import ModelArguments
from genies.lm.packing import pack, plan_rows
from genies.lm.sites import Site
from genies.lm.text import encode
from genies.methods.representations import between_copies, read_pairs
from genies.methods.templates import PLAIN, STIMULUS, YES_NO
from tests.lm.plain import plain_hidden_states

PAIRS = [
    Pair(0, "Q: Which city?\nA:", " Paris", " water"),
    Pair(0, "Q: Which city?\nA:", " Paris", " the sun is warm"),
    Pair(3, "the best", " answer", ""),
]
TEXTS = {
    "plain": (PLAIN, ["{}"]),
    "stimulus": (
        STIMULUS,
        [
            "Consider the extent to which the responder follows the instruction below.\n{}\n"
            "The probability that the responder followed the instruction"
        ],
    ),
    "yes and no": (
        YES_NO,
        [f"{{}}\n\nQuestion: Does the responder follow the instruction?\nAnswer: {answer}" for answer in ("Yes", "No")],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_activations_are_those_of_the_wrapped_texts_read_again_and_again(name, tmp_path, tiny_model, tiny_model_dir):
    templates, texts = TEXTS[name]
    model = tiny_model("llama", "byte_level_with_bos")
    reader = ActivationReader(tiny_model_dir("llama", "byte_level_with_bos"), ModelArguments())
    for _ in range(2):
        found = read_pairs(reader, [Site(0)], templates, PAIRS, tmp_path)
        for side in ("best", "worse"):
            for copy, text in enumerate(texts):
                for place, pair in enumerate(PAIRS):
                    ids = model.tokenizer(text.format(pair.prompt + getattr(pair, side)))["input_ids"]
                    ids = [*ids, model.tokenizer.eos_token_id]
                    expected = plain_hidden_states(tiny_model_dir("llama", "byte_level_with_bos"), ids)
                    activations = getattr(found, side)[copy, place]
                    assert activations == pytest.approx(expected, abs=1e-4)
    assert [pair.example_index for pair in found.pairs] == [0, 0, 3]


def test_copies_and_responses_of_a_prompt_are_branches_of_one_row(tiny_model):
    tokenizer = tiny_model("llama").tokenizer
    prompt = "Q: " + "Which city is the capital of France? " * 3
    texts = [template.wrap(Pair(0, prompt, " Paris", " water")) for template in YES_NO]
    encoded = [encode(tokenizer, [(pair.prompt, pair.best), (pair.prompt, pair.worse)]) for pair in texts]
    ids = [sequence.ids for copies in encoded for sequence in copies]
    [row] = plan_rows(ids, 1024)
    tokens = len(pack([ids[index] for index in row]).ids)
    shared = len(tokenizer(prompt)["input_ids"])
    tail = len(tokenizer(YES_NO[0].after)["input_ids"])
    assert tokens <= shared + 2 * (tail + 12)
    assert sum(map(len, ids)) > 2 * tokens


def test_an_example_too_long_in_one_copy_is_left_out_of_all_and_counted_once(
    tmp_path, tiny_model, tiny_model_dir, capsys
):
    model = tiny_model("llama")
    reader = ActivationReader(tiny_model_dir("llama"), ModelArguments())
    words = next(
        count
        for count in range(300)
        if len(encode(model.tokenizer, [("warm" * count, YES_NO[0].after)])[0].ids) > model.context_length
    )
    lengths = [len(encode(model.tokenizer, [("warm" * words, each.after)])[0].ids) for each in YES_NO]
    pairs = [*PAIRS, Pair(7, "warm" * words, "", "warm"), Pair(8, "the", " best", " worse")]
    found = read_pairs(reader, [Site(0)], YES_NO, pairs, tmp_path)
    assert max(lengths) > model.context_length
    assert [pair.example_index for pair in found.pairs] == [0, 0, 3, 8]
    assert found.left_out == (7,)
    assert found.best.shape == found.worse.shape == (2, 4, 1, 32)
    assert capsys.readouterr().err.count("is left out") == 1


def test_between_copies_is_the_one_or_the_difference_of_two():
    activations = np.array([[[[1.0, 2.0]]], [[[5.0, 1.0]]]], np.float32)
    assert between_copies(activations[:1]).tolist() == [[[1.0, 2.0]]]
    assert between_copies(activations).tolist() == [[[-4.0, 1.0]]]
