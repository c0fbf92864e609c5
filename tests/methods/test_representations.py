"""Activations of pairs under templates, against transformers' own hidden states of the same texts."""

import json
from typing import Any

import numpy as np
import pytest

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from genies.lm.arguments import ModelArguments
from genies.lm.packing import pack, plan_rows
from genies.lm.sites import Site
from genies.lm.text import encode
from genies.methods.reading import Reading
from genies.methods.representations import ReadPairs, between_copies, read_pairs
from genies.methods.templates import PLAIN, QUESTIONS, STIMULI, STIMULUS, YES_NO
from tests.support.plain import plain_hidden_states

PAIRS = [
    Pair(0, "Q: Which city?\nA:", " Paris", " water"),
    Pair(0, "Q: Which city?\nA:", " Paris", " the sun is warm"),
    Pair(3, "the best", " answer", ""),
]
TEXTS = {
    "plain": (PLAIN, ["{prompt}{response}"]),
    "stimulus": (
        STIMULUS,
        [
            "Consider the extent to which the responder follows the instruction below.\n{prompt}{response}\n"
            "The probability that the responder followed the instruction"
        ],
    ),
    "stimulus of the release": (
        STIMULI["release_2023"],
        [
            "{prompt}Consider the extent to which the responder follows the instruction below.\n{response}\n\n"
            "The probability that the responder followed the instruction"
        ],
    ),
    "yes and no": (
        YES_NO,
        [
            f"{{prompt}}{{response}}\n\nQuestion: Does the responder follow the instruction?\nAnswer: {answer}"
            for answer in ("Yes", "No")
        ],
    ),
    "yes and no of the release": (
        QUESTIONS["release_2023"],
        [
            "{prompt}{response}\n\n### Does the responder successfully follow the instruction?\n" + answer
            for answer in ("Yes", "No")
        ],
    ),
}


@pytest.mark.parametrize("read_at", ["last_response", "end_of_text"])
@pytest.mark.parametrize("name", TEXTS)
def test_activations_are_those_of_the_wrapped_texts_read_again_and_again(
    name, read_at, tmp_path, tiny_model, tiny_model_dir
):
    templates, texts = TEXTS[name]
    model = tiny_model("llama", "byte_level_with_bos")
    reader = ActivationReader(tiny_model_dir("llama", "byte_level_with_bos"), ModelArguments())
    for _ in range(2):
        found = read_pairs(reader, [Site(0)], Reading(templates, read_at), PAIRS, tmp_path)
        for side in ("best", "worse"):
            for copy, text in enumerate(texts):
                for place, pair in enumerate(PAIRS):
                    wrapped = text.format(prompt=pair.prompt, response=getattr(pair, side))
                    ids = model.tokenizer(wrapped)["input_ids"]
                    ids += [model.tokenizer.eos_token_id] if read_at == "end_of_text" else []
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
    found = read_pairs(reader, [Site(0)], Reading(YES_NO, "end_of_text"), pairs, tmp_path)
    assert max(lengths) > model.context_length
    assert [pair.example_index for pair in found.pairs] == [0, 0, 3, 8]
    assert found.left_out == (7,)
    assert found.best.shape == found.worse.shape == (2, 4, 1, 32)
    assert capsys.readouterr().err.count("is left out") == 1


def test_between_copies_is_the_one_or_the_difference_of_two():
    activations = np.array([[[[1.0, 2.0]]], [[[5.0, 1.0]]]], np.float32)
    assert between_copies(activations[:1]).tolist() == [[[1.0, 2.0]]]
    assert between_copies(activations).tolist() == [[[-4.0, 1.0]]]


def test_what_one_reads_at_one_end_of_two_copies_another_finds_at_the_other(tmp_path, tiny_model, tiny_model_dir):
    model, folder = tiny_model("llama"), tiny_model_dir("llama")
    one = ActivationReader(folder, ModelArguments())
    at_response = read_pairs(one, [Site(0)], Reading(YES_NO, "last_response"), PAIRS, tmp_path)
    other = ActivationReader(folder, ModelArguments())
    at_end = read_pairs(other, [Site(0)], Reading(YES_NO, "end_of_text"), PAIRS, tmp_path)
    assert (other.texts_read, other.forward_tokens) == (0, 0)
    assert np.abs(at_response.best - at_end.best).min(axis=-1).max() > 1e-3
    # The second end costs a token a branch, and plain texts are read at one end only.
    texts = [
        (each.prompt, text) for part in YES_NO for each in map(part.wrap, PAIRS) for text in (each.best, each.worse)
    ]
    ids = {sequence.ids for sequence in encode(model.tokenizer, texts)}
    assert one.forward_tokens == len(pack(sorted(ids)).ids)
    plain = ActivationReader(folder, ModelArguments())
    read_pairs(plain, [Site(0)], Reading(PLAIN, "last_response"), PAIRS, tmp_path)
    later = ActivationReader(folder, ModelArguments())
    read_pairs(later, [Site(0)], Reading(PLAIN, "end_of_text"), PAIRS, tmp_path)
    assert later.texts_kept == 0


def test_each_response_is_there_once_however_many_pairs_it_is_in():
    pairs = [Pair(0, "p", "a", "b"), Pair(0, "p", "a", "c"), Pair(1, "p", "a", "b")]
    best, worse = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ([1, 1, 4], [2, 3, 5]))
    found = ReadPairs(pairs, best, worse, ())
    assert sorted(found.responses()[0, :, 0, 0]) == [1, 2, 3, 4, 5]


def test_how_texts_are_read_is_recorded_and_damage_is_a_message(tmp_path):
    reading = Reading(QUESTIONS["release_2023"], "end_of_text")
    reading.save(tmp_path)
    assert Reading.load(tmp_path) == reading
    damages: tuple[dict[str, Any], ...] = (
        {"read_at": "first"},
        {"templates": []},
        {"templates": [{"ahead": "x"}]},
        {"templates": [{"after": 3}]},
    )
    for damage in damages:
        (tmp_path / "reading.json").write_text(
            json.dumps({"read_at": "end_of_text", "templates": [{"after": "x"}]} | damage)
        )
        with pytest.raises(InputError, match="damaged"):
            Reading.load(tmp_path)
    (tmp_path / "reading.json").write_text("[]")
    with pytest.raises(InputError, match="damaged"):
        Reading.load(tmp_path)
    (tmp_path / "reading.json").unlink()
    with pytest.raises(InputError, match=r"reading\.json does not exist.*train again"):
        Reading.load(tmp_path)
