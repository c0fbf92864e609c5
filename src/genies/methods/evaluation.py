"""Write evaluation files, as the contract defines them, from pair probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genies import metrics
from genies.data.distribution import Pair
from genies.data.evaluated import prompt_clusters
from genies.errors import InputError
from genies.files import write_json
from genies.methods.example_metrics import Scores, example_metrics
from genies.metrics.calibration import FORMULA


def softmax_of_pair(best: NDArray[np.float64], worse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of the best response: exp(best) / (exp(best) + exp(worse)), computed without overflow."""
    return logistic(np.asarray(best, dtype=np.float64) - np.asarray(worse, dtype=np.float64))


def logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-values)), computed without overflow."""
    decay = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + decay), decay / (1 + decay))


def write_evaluation(
    path: Path,
    source: Path,
    pairs: Sequence[Pair],
    probabilities: NDArray[np.float64],
    left_out: Sequence[int] = (),
    extra: Mapping[str, Any] | None = None,
    scores: Scores | None = None,
) -> None:
    """Write the evaluation of the distribution `source` atomically; two runs write the same bytes.

    `probabilities` [pairs] are the probabilities of the best responses. `left_out` contains the indices of examples
    that were not evaluated, `extra` further keys such as dtype and device. `scores` are those of the best and the worse
    response of each pair, for methods that score single responses. Raises InputError for a probability that is
    not finite.
    """
    if len(pairs) != len(probabilities):
        raise ValueError(f"{len(probabilities)} probabilities for {len(pairs)} pairs")
    undefined = np.flatnonzero(~np.isfinite(probabilities))
    if len(undefined):
        raise InputError(
            f"{source}: the model's score of example {pairs[undefined[0]].example_index} is not a number "
            f"({len(undefined)} of {len(pairs)} pairs); try --dtype float32, or check the model's weights"
        )
    p = np.asarray(probabilities, dtype=np.float64)
    published = metrics.rms_calibration_error_published(p)
    write_json(
        path,
        {
            "eval_accuracy": float(metrics.accuracy(p)),
            "eval_average_probability": float(metrics.average_probability(p)),
            "eval_brier_score": float(metrics.brier_score(p)),
            "eval_log_loss": float(metrics.log_loss(p)),
            "eval_rms_calibration_error": float(metrics.rms_calibration_error(p)),
            "eval_rms_calibration_formula": FORMULA,
            # The published formula skips bins with fewer than 20 members, so it may have no value.
            **({} if published is None else {"eval_rms_calibration_error_published": float(published)}),
            "eval_ties": int(metrics.ties(p)),
            "eval_left_out_examples": len(left_out),
            "eval_left_out_indices": list(left_out),
            **example_metrics(pairs, p, scores),
            **(extra or {}),
            "eval_probabilities": [float(each) for each in p],
            "eval_example_indices": [pair.example_index for pair in pairs],
            "eval_prompt_clusters": prompt_clusters((pair.example_index, pair.prompt) for pair in pairs),
        },
    )
