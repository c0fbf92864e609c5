"""Which pairs of an evaluation belong together, by what it stores and by the data."""

from typing import Any

from genies.data.distribution import Example
from genies.data.evaluated import cluster_labels, clusters_from_data, joined_clusters, without_examples
from genies.evaluation_file import Evaluation
from genies.metrics import log_loss, rms_calibration_error

TEST = [Example(index, prompt, ("a", "b", "c"), (0,)) for index, prompt in enumerate(["p", "q", "p", "Q", "q "])]


def test_clusters_of_an_old_evaluation_come_from_the_prompts_of_the_test_split() -> None:
    old = Evaluation(eval_accuracy=1.0, eval_probabilities=[0.9] * 10)
    assert clusters_from_data(old, TEST) == [0, 0, 1, 1, 0, 0, 3, 3, 4, 4]
    some = Evaluation(eval_accuracy=1.0, eval_probabilities=[0.9] * 3, eval_example_indices=[2, 4, 4])
    assert clusters_from_data(some, TEST) == [0, 4, 4]
    assert clusters_from_data(some, TEST[:3]) is None


def test_stored_clusters_come_before_examples_and_without_either_there_are_none() -> None:
    p: dict[str, Any] = {"eval_accuracy": 1.0, "eval_probabilities": [0.9, 0.8]}
    assert cluster_labels(Evaluation(**p, eval_example_indices=[1, 2], eval_prompt_clusters=[1, 1])) == [1, 1]
    assert cluster_labels(Evaluation(**p, eval_example_indices=[1, 2])) == [1, 2]
    assert cluster_labels(Evaluation(**p)) is None
    assert cluster_labels(Evaluation(eval_accuracy=1.0, eval_prompt_clusters=[1, 2])) is None


def test_what_is_left_of_an_evaluation_keeps_its_clusters_and_has_its_own_metrics() -> None:
    whole = Evaluation(
        eval_accuracy=0.5,
        eval_probabilities=[0.9, 0.2, 0.4, 0.7],
        eval_example_indices=[0, 1, 2, 3],
        eval_prompt_clusters=[0, 1, 0, 1],
        eval_log_loss=9.0,
        eval_rms_calibration_error=0.9,
        eval_rms_calibration_formula="weighted",
    )
    rest = without_examples(whole, [0, 1, 2, 3], frozenset({1}), "a rule")
    assert rest.eval_prompt_clusters == [0, 0, 1]
    assert rest.eval_log_loss == log_loss([0.9, 0.4, 0.7])
    assert rest.eval_rms_calibration_error == rms_calibration_error([0.9, 0.4, 0.7])
    assert rest.eval_rms_calibration_formula == "confidence"


def evaluated(indices: list[int], clusters: list[int] | None = None) -> Evaluation:
    return Evaluation(
        eval_accuracy=1.0,
        eval_probabilities=[0.9] * len(indices),
        eval_example_indices=indices,
        eval_prompt_clusters=clusters,
    )


def test_a_prompt_has_one_number_in_all_evaluations_on_a_target() -> None:
    # Examples 0, 1 and 3 have one prompt; the first evaluation left out 0, the third is an old one.
    parts = [evaluated([1, 1, 2, 3], [1, 1, 2, 1]), evaluated([4, 1, 0], [4, 0, 0]), evaluated([3, 0, 9])]
    expected = [[0, 0, 2, 0], [4, 0, 0], [0, 0, 9]]
    assert [each.eval_prompt_clusters for each in joined_clusters(parts)] == expected
    assert [each.eval_prompt_clusters for each in joined_clusters(parts[::-1])] == expected[::-1]
    bare = Evaluation(eval_accuracy=1.0)
    assert joined_clusters([parts[1], bare]) == [parts[1], bare]
    # Old ones alone say nothing of prompts.
    assert joined_clusters([parts[2], parts[2]]) == [parts[2], parts[2]]
