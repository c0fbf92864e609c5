"""Metrics of examples with several responses, against hand computations."""

import math

import numpy as np
import pytest

from genies.errors import InputError
from genies.metrics import ResponseScores, best_of_n_accuracy, ties_score


def test_best_of_n_is_the_score_of_the_first_place_with_ties_shared():
    draw = np.random.default_rng(0)
    scores = draw.integers(0, 4, size=(200, 4))  # many ties; the first response is best
    expected = np.mean([(row[0] == row.max()) / np.count_nonzero(row == row.max()) for row in scores])
    p = [1 / (1 + math.exp(other - row[0])) for row in scores for other in row[1:]]
    assert best_of_n_accuracy(p, np.repeat(np.arange(200), 3)) == pytest.approx(expected)


def test_a_scorer_that_knows_nothing_gets_one_over_n():
    assert best_of_n_accuracy([0.5] * 30, np.repeat(np.arange(10), 3)) == 0.25
    assert best_of_n_accuracy([0.5] * 10, np.arange(10)) == 0.5


def test_examples_need_one_number_for_each_pair():
    with pytest.raises(InputError):
        best_of_n_accuracy([0.5, 0.6], [1])


def test_the_ties_score_by_hand():
    reference = {
        "1": ResponseScores([3.0], [1.0, 0.0]),
        "2": ResponseScores([0.5], [1.0]),
        "3": ResponseScores([1], [0]),
    }
    tied = {"1": ResponseScores([4.0, 3.5], [1.0]), "2": ResponseScores([2.0, 0.0], [1.0])}
    # Prompt 1: gaps 2.5 and 2, spread 0.5. Prompt 2: gaps -1 and -0.5, spread 2.
    margin = (math.tanh(2 / 0.5 - 1) + math.tanh(-1 / 2 - 1)) / 2
    expected = 0.3 * 1 / 2 + 0.3 * 2 / 3 + 0.2 * 1 / 2 + 0.2 * 1 / 2 + 0.01 * margin
    assert ties_score(reference, tied) == pytest.approx(expected)


def test_equal_best_scores_have_no_margin_and_no_common_prompt_no_score():
    perfect = ties_score({"1": ResponseScores([1], [0])}, {"1": ResponseScores([1, 1], [0])})
    assert perfect == pytest.approx(1.0)
    assert ties_score({"1": ResponseScores([1], [0])}, {"2": ResponseScores([1, 1], [0])}) is None
