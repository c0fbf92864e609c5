import re

import numpy as np
import pytest

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.methods.responses import EachOnce, encode_pairs
from tests.support.tiny_models import make_tokenizer

TOKENIZER = make_tokenizer("byte_level")


def test_pairs_keep_their_order_and_a_repeated_response_is_one_sequence(tmp_path):
    pairs = [Pair(0, "the", " best", " worse"), Pair(0, "the", " best", " one"), Pair(1, "the", " one", " best")]
    encoded = encode_pairs(TOKENIZER, 50, pairs, tmp_path)
    assert encoded.pairs == pairs
    assert encoded.left_out == ()
    assert encoded.best[0] is encoded.best[1] is encoded.worse[2]


def test_an_example_that_does_not_fit_is_left_out_with_all_its_pairs_and_named(tmp_path, capsys):
    pairs = [Pair(0, "the", " best", " worse"), Pair(7, "the", " best", " one" * 40), Pair(7, "the", " best", " one")]
    encoded = encode_pairs(TOKENIZER, 20, pairs, tmp_path)
    assert encoded.pairs == pairs[:1]
    assert encoded.left_out == (7,)
    error = capsys.readouterr().err
    assert f"{tmp_path}: example 7 is left out" in error
    assert re.search(r"\d+ tokens, .* 20\n", error)
    assert error.count("\n") == 1


def test_the_longest_text_that_fits_stays(tmp_path):
    pair = Pair(0, "the", " best", " worse")
    longest = max(
        len(each.ids)
        for side in ("best", "worse")
        for each in getattr(encode_pairs(TOKENIZER, None, [pair], tmp_path), side)
    )
    assert encode_pairs(TOKENIZER, longest, [pair], tmp_path).left_out == ()
    with pytest.raises(InputError, match="no example is left"):
        encode_pairs(TOKENIZER, longest - 1, [pair], tmp_path)


def test_no_text_at_all_is_left_out(tmp_path):
    encoded = encode_pairs(TOKENIZER, None, [Pair(0, "", "", "x"), Pair(1, "", "y", "x")], tmp_path)
    assert [pair.example_index for pair in encoded.pairs] == [1]


def test_each_sequence_is_computed_once(tmp_path):
    asked = []

    def compute(sequences):
        asked.append(sequences)
        return np.array([[len(sequence.ids), 0] for sequence in sequences])

    values = EachOnce(compute)
    encoded = encode_pairs(TOKENIZER, None, [Pair(0, "the", " best", " worse"), Pair(1, "the", " worse", "")], tmp_path)
    values.learn(encoded.best + encoded.worse)
    assert values(encoded.best)[:, 0].tolist() == [len(each.ids) for each in encoded.best]
    assert values(encoded.worse).shape == (2, 2)
    assert len(asked) == 1
    assert len(asked[0]) == 3
