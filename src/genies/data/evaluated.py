"""Match the pairs of an evaluation with test examples and prompts, and exclude examples from an evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from genies.data.distribution import Example
from genies.evaluation_file import Evaluation
from genies.metrics import accuracy, average_probability, brier_score, log_loss, rms_calibration_error, ties
from genies.metrics.calibration import FORMULA


def example_indices(evaluation: Evaluation, test: Sequence[Example]) -> list[int] | None:
    """The test index of each pair's example; None if the evaluation cannot be matched with the test split.

    According to the contract, an evaluation without indices contains all pairs of all examples, or of the first
    max_examples, in order. Its number of pairs is compared with that.
    """
    probabilities = evaluation.eval_probabilities
    if not probabilities:
        return None
    if evaluation.eval_example_indices is not None:
        return evaluation.eval_example_indices if max(evaluation.eval_example_indices) < len(test) else None
    parts = (evaluation.provenance or {}).get("parts")
    kwargs = parts.get("kwargs") if isinstance(parts, dict) else None
    first = kwargs.get("max_examples") if isinstance(kwargs, dict) else None
    examples = test[:first] if isinstance(first, int) else test
    whole = [each.index for each in examples for _ in range(len(each.best) * len(each.worse))]
    return whole if len(whole) == len(probabilities) else None


_OF_ALL_EXAMPLES = (
    "eval_score",
    "eval_scores",
    "eval_best_of_n_accuracy",
    "eval_easy_accuracy",
    "eval_normal_accuracy",
    "eval_hard_accuracy",
    "eval_ties_score",
)
"""Keys that are not computed again when examples are left out."""


def without_examples(evaluation: Evaluation, indices: Sequence[int], left_out: frozenset[int], why: str) -> Evaluation:
    """An evaluation without some examples. Metrics are recomputed, and provenance records the exclusion.

    indices: the test index of each pair's example. At least one pair must remain. why: the reason for provenance.
    """
    assert evaluation.eval_probabilities is not None
    kept = [position for position, index in enumerate(indices) if index not in left_out]
    p = [evaluation.eval_probabilities[position] for position in kept]
    excluded: dict[str, Any] = {
        "rule": why,
        "examples": sorted(left_out.intersection(indices)),
        "pairs": len(indices) - len(kept),
    }
    clusters = evaluation.eval_prompt_clusters
    metrics = {
        "eval_accuracy": accuracy(p),
        "eval_probabilities": p,
        "eval_example_indices": [indices[position] for position in kept],
        "eval_prompt_clusters": [clusters[position] for position in kept] if clusters else None,
        "eval_ties": ties(p),
        "eval_brier_score": brier_score(p),
        "eval_average_probability": average_probability(p),
        "eval_log_loss": log_loss(p),
        "eval_rms_calibration_error": rms_calibration_error(p),
        "eval_rms_calibration_formula": FORMULA,
        "eval_rms_calibration_error_published": None,
        **dict.fromkeys(_OF_ALL_EXAMPLES),
        "provenance": {**(evaluation.provenance or {}), "excluded": excluded},
    }
    return evaluation.model_copy(update=metrics)


def prompt_clusters(pairs: Iterable[tuple[int, Hashable]]) -> list[int]:
    """The cluster of each pair: the smallest test index with the same prompt.

    pairs: (test index of the example, prompt) for each pair. Prompts are compared exactly, without changes to case or
    white space.

    >>> prompt_clusters([(3, "a"), (3, "a"), (4, "b"), (9, "a")])
    [3, 3, 4, 3]
    """
    listed = list(pairs)
    first: dict[Hashable, int] = {}
    for index, prompt in listed:
        first[prompt] = min(first.get(prompt, index), index)
    return [first[prompt] for _, prompt in listed]


def joined_clusters(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Evaluations on one test split, with one numbering of its prompts.

    An evaluation numbers a prompt by the first of its examples that it was tested on, which another may have left out,
    and an older one does not store prompts. Examples that have one prompt in any of the evaluations have one prompt in
    all of them: its number is the smallest index. An evaluation without eval_example_indices stays as it is.
    """
    known = {
        (tuple(each.eval_example_indices), tuple(each.eval_prompt_clusters))
        for each in evaluations
        if each.eval_probabilities and each.eval_example_indices and each.eval_prompt_clusters
    }
    if not known:
        return list(evaluations)
    examples = np.unique(np.concatenate([each.eval_example_indices or [] for each in evaluations]).astype(np.int64))
    joined = [
        (np.searchsorted(examples, indices), np.unique(np.array(clusters), return_inverse=True)[1])
        for indices, clusters in known
    ]
    prompts = np.arange(examples.size)
    before = np.zeros(0, dtype=prompts.dtype)
    while not np.array_equal(prompts, before):
        before = prompts.copy()
        for rows, clusters in joined:
            smallest = np.full(clusters.max() + 1, examples.size)
            np.minimum.at(smallest, clusters, prompts[rows])
            prompts[rows] = smallest[clusters]

    def numbered(evaluation: Evaluation) -> Evaluation:
        if not evaluation.eval_probabilities or not evaluation.eval_example_indices:
            return evaluation
        clusters = examples[prompts[np.searchsorted(examples, evaluation.eval_example_indices)]].tolist()
        if clusters == evaluation.eval_prompt_clusters:
            return evaluation
        return evaluation.model_copy(update={"eval_prompt_clusters": clusters})

    return [numbered(each) for each in evaluations]


def clusters_from_data(evaluation: Evaluation, test: Sequence[Example]) -> list[int] | None:
    """The prompt cluster of each pair, computed from the test split, for an evaluation that does not store clusters.

    None if the evaluation cannot be matched with the test split (see example_indices).
    """
    indices = example_indices(evaluation, test)
    if indices is None:
        return None
    of_example = prompt_clusters((example.index, example.prompt) for example in test)
    return [of_example[index] for index in indices]


def cluster_labels(evaluation: Evaluation) -> list[int] | None:
    """The cluster of each pair: eval_prompt_clusters, or else eval_example_indices; None without both.

    Example indices are correct clusters only if no two examples share a prompt; clusters_from_data does not need that.
    """
    if not evaluation.eval_probabilities:
        return None
    return evaluation.eval_prompt_clusters or evaluation.eval_example_indices
