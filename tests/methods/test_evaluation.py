import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genies.data.distribution import Pair, pairs, read_example
from genies.data.evaluated import cluster_labels
from genies.errors import InputError
from genies.evaluation_file import read_evaluation
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.templates import Template
from tests.support.present import present

PAIRS = [Pair(0, "p", "b", "w"), Pair(0, "p", "b", "v"), Pair(3, "q", "b", "w")]


def test_the_file_is_a_valid_evaluation_with_every_figure(tmp_path):
    path = tmp_path / "new" / "evaluation.json"
    write_evaluation(path, tmp_path, PAIRS, np.array([0.9, 0.5, 0.2]), left_out=(1, 2), extra={"dtype": "float32"})
    evaluation, value = read_evaluation(path)
    assert evaluation.eval_accuracy == 0.5
    assert evaluation.eval_probabilities == [0.9, 0.5, 0.2]
    assert evaluation.eval_example_indices == [0, 0, 3]
    assert evaluation.eval_ties == 1
    assert evaluation.eval_brier_score == pytest.approx((0.01 + 0.25 + 0.64) / 3)
    assert evaluation.eval_average_probability == pytest.approx(1.6 / 3)
    assert evaluation.dtype == "float32"
    assert evaluation.eval_left_out_examples == value["eval_left_out_examples"] == 2
    assert evaluation.eval_left_out_indices == [1, 2]
    assert value["eval_rms_calibration_error"] == pytest.approx(((0.1**2 + 0.8**2) / 3) ** 0.5)
    assert evaluation.eval_rms_calibration_formula == "confidence"
    assert evaluation.eval_log_loss == pytest.approx(-math.log(0.9 * 0.5 * 0.2) / 3)


def test_examples_with_one_prompt_are_one_cluster_whatever_their_index(tmp_path):
    prompts = {2: "p", 3: "q", 5: "p", 6: "P", 9: "q"}
    pairs = [Pair(index, prompt, "b", worse) for index, prompt in prompts.items() for worse in "vw"]
    write_evaluation(tmp_path / "e.json", tmp_path, pairs, np.full(10, 0.7))
    evaluation, _ = read_evaluation(tmp_path / "e.json")
    assert evaluation.eval_prompt_clusters == [2, 2, 3, 3, 2, 2, 6, 6, 3, 3]
    assert cluster_labels(evaluation) == evaluation.eval_prompt_clusters


def test_twice_gives_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        write_evaluation(tmp_path / name, tmp_path, PAIRS, np.array([0.1, 0.2, 1 / 3]))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_an_error_and_writes_nothing(wrong, tmp_path):
    with pytest.raises(InputError, match="example 3 is not a number"):
        write_evaluation(tmp_path / "e.json", tmp_path, PAIRS, np.array([0.9, 0.5, wrong]))
    assert not (tmp_path / "e.json").exists()


def test_the_published_calibration_figure_stands_there_when_it_exists(tmp_path):
    pairs = [Pair(index, "p", "b", "w") for index in range(200)]
    write_evaluation(tmp_path / "e.json", tmp_path, pairs, np.linspace(0, 1, 200))
    assert json.loads((tmp_path / "e.json").read_text())["eval_rms_calibration_error_published"] > 0


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_softmax_of_a_pair_sums_to_one_and_keeps_the_order(best, worse):
    [p] = softmax_of_pair(np.array([best]), np.array([worse]))
    [q] = softmax_of_pair(np.array([worse]), np.array([best]))
    assert 0 <= p <= 1
    assert p + q == pytest.approx(1)
    assert (p > 0.5) <= (best > worse)
    assert p == pytest.approx(1 / (1 + math.exp(min(700, worse - best))), abs=1e-12)


def test_examples_with_several_responses_have_metrics_and_scores_of_their_own(tmp_path) -> None:
    entries = [
        {"prompt": "p", "responses": {"a": 1, "b": 0, "c": 1, "d": 0}, "styles": [0, 0, 1, 1], "id": "tied:7"},
        {"prompt": "q", "responses": {"e": 0, "f": 1, "g": 0}, "styles": [1, 0, 0], "id": "ref:7"},
    ]
    chosen = pairs([read_example(entry, index, tmp_path) for index, entry in enumerate(entries)])
    wrapped = [Template("Look. ", " Over.").wrap(pair) for pair in chosen]
    value = {"a": 3.0, "b": 1.0, "c": 2.5, "d": 2.75, "e": 0.0, "f": 1.0, "g": 1.0}
    scores = np.array([value[pair.best] for pair in chosen]), np.array([value[pair.worse] for pair in chosen])
    write_evaluation(tmp_path / "e.json", tmp_path, wrapped, softmax_of_pair(*scores), scores=scores)
    evaluation, _ = read_evaluation(tmp_path / "e.json")
    # c loses to d; f ties with g and beats e.
    assert evaluation.eval_best_of_n_accuracy == (0 + 1 / 2) / 2
    assert evaluation.eval_easy_accuracy == 1.0  # c > b
    assert evaluation.eval_normal_accuracy == (1 + 0 + 0.5) / 3  # a > b, c < d, f = g
    assert evaluation.eval_hard_accuracy == 1.0  # a > d, f > e
    assert [each.model_dump() for each in present(evaluation.eval_scores)] == [
        {"example": 0, "best": [3.0, 2.5], "worse": [1.0, 2.75]},
        {"example": 1, "best": [1.0], "worse": [0.0, 1.0]},
    ]
    # Gap of the tied example: 2.5 - 2.75, spread 0.5; gap of the reference: 0.
    assert evaluation.eval_ties_score == pytest.approx(0.01 * np.tanh(-0.25 / 0.5 - 1))


def test_one_pair_an_example_has_none_of_these_keys(tmp_path) -> None:
    write_evaluation(tmp_path / "e.json", tmp_path, PAIRS[1:], np.array([0.9, 0.2]))
    evaluation, _ = read_evaluation(tmp_path / "e.json")
    assert evaluation.eval_best_of_n_accuracy is None
    assert evaluation.eval_scores is None
