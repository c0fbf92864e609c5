"""The keys of an evaluation about examples with several responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from genies import metrics
from genies.data.distribution import Difficulty, Pair

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The score of the best and of the worse response of each pair."""


def example_metrics(pairs: Sequence[Pair], p: NDArray[np.float64], scores: Scores | None) -> dict[str, Any]:
    """The keys that apply to the pairs, with p(best) [pairs]; empty for examples with one pair without styles.

    scores: for methods that score single responses; they are written for examples with several pairs.
    """
    examples = [pair.example_index for pair in pairs]
    found: dict[str, Any] = {}
    if len(set(examples)) < len(examples):
        found["eval_best_of_n_accuracy"] = metrics.best_of_n_accuracy(p, examples)
        if scores is not None:
            found |= _scored(pairs, scores)
    for difficulty in get_args(Difficulty):
        chosen = [place for place, pair in enumerate(pairs) if pair.difficulty == difficulty]
        if chosen:
            found[f"eval_{difficulty}_accuracy"] = metrics.accuracy(p[chosen])
    return found


def _scored(pairs: Sequence[Pair], scores: Scores) -> dict[str, Any]:
    """The scores of responses and, where examples have its names, the Ties score."""
    best: dict[int, dict[str, float]] = {}
    worse: dict[int, dict[str, float]] = {}
    names: dict[int, str | None] = {}
    for pair, high, low in zip(pairs, *scores, strict=True):
        best.setdefault(pair.example_index, {})[pair.best] = float(high)
        worse.setdefault(pair.example_index, {})[pair.worse] = float(low)
        names[pair.example_index] = pair.example_id
    listed = [
        {"example": index, "best": list(best[index].values()), "worse": list(worse[index].values())} for index in names
    ]
    kinds: dict[str, dict[str, metrics.ResponseScores]] = {"ref": {}, "tied": {}}
    for index, name in names.items():
        kind, _, prompt = (name or "").partition(":")
        if kind in kinds and prompt:
            kinds[kind][prompt] = metrics.ResponseScores([*best[index].values()], [*worse[index].values()])
    score = metrics.ties_score(kinds["ref"], kinds["tied"])
    return {**({} if score is None else {"eval_ties_score": score}), "eval_scores": listed}
