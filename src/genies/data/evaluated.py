"""Which test example each pair of an evaluation belongs to, and what is left when some examples are left out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from genies.contract import Evaluation
from genies.data.distribution import Example, pairs
from genies.metrics import accuracy, average_probability, brier_score, log_loss, rms_calibration_error, ties
from genies.metrics.calibration import FORMULA


def example_indices(evaluation: Evaluation, test: Sequence[Example]) -> list[int] | None:
    """The test index of each pair's example; None where the evaluation cannot be matched with the test split.

    An evaluation that does not say so has, by the contract, all pairs of all examples in order, or of the first
    max_examples of them; its number of pairs tells whether it has.
    """
    probabilities = evaluation.eval_probabilities
    if not probabilities:
        return None
    if evaluation.eval_example_indices is not None:
        return evaluation.eval_example_indices if max(evaluation.eval_example_indices) < len(test) else None
    parts = (evaluation.provenance or {}).get("parts")
    kwargs = parts.get("kwargs") if isinstance(parts, dict) else None
    first = kwargs.get("max_examples") if isinstance(kwargs, dict) else None
    whole = [pair.example_index for pair in pairs(test[:first] if isinstance(first, int) else test)]
    return whole if len(whole) == len(probabilities) else None


def without_examples(evaluation: Evaluation, indices: Sequence[int], left_out: frozenset[int], why: str) -> Evaluation:
    """An evaluation without some examples, its metrics computed anew; its provenance says what was left out and why.

    indices: the test index of each pair's example. At least one pair must be left.
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
    figures = {
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
        "eval_score": None,
        "provenance": {**(evaluation.provenance or {}), "excluded": excluded},
    }
    return evaluation.model_copy(update=figures)


def prompt_clusters(pairs: Iterable[tuple[int, Hashable]]) -> list[int]:
    """The cluster of each pair, given as (test index of its example, prompt): the smallest index with the same prompt.

    Prompts are equal when they are equal character by character; nothing is folded or stripped.

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
    """The prompt cluster of each pair of an evaluation that does not store them, from the test split it is about.

    None where the evaluation cannot be matched with the test split (example_indices).
    """
    indices = example_indices(evaluation, test)
    if indices is None:
        return None
    of_example = prompt_clusters((example.index, example.prompt) for example in test)
    return [of_example[index] for index in indices]


def cluster_labels(evaluation: Evaluation) -> list[int] | None:
    """The cluster of each pair: eval_prompt_clusters, else eval_example_indices; None without either.

    Examples stand in for prompts only where no two examples share one; clusters_from_data finds out.
    """
    if not evaluation.eval_probabilities:
        return None
    return evaluation.eval_prompt_clusters or evaluation.eval_example_indices
