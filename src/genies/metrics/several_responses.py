"""Metrics of examples with more than two responses: best of n, difficulty by style, and RewardBench 2's Ties score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import tanh

import numpy as np

from genies.metrics.probabilities import Indices, Probabilities, checked, checked_labels


def best_of_n_accuracy(probabilities: Probabilities, examples: Indices) -> float:
    """Share of examples whose best responses all beat all worse ones, in [0, 1].

    probabilities: p(best) [pairs]. examples: [pairs], the example of each pair. An example with a pair below 1/2 counts
    0. One with t pairs at exactly 1/2 and all others above counts 1 / (1 + t), the probability that a random order of
    the tied responses has the best one first. With one best response this is the score of RewardBench 2 (Malik et al.
    2025, arXiv 2506.01937, process_single_model of the project's code), and a scorer that gives every response the same
    score gets 1 / n.

    >>> best_of_n_accuracy([0.9, 0.8, 0.9, 0.4, 0.5, 0.7], [0, 0, 1, 1, 2, 2])
    0.5
    """
    p = checked(probabilities)
    index = np.unique(checked_labels(examples, p.size), return_inverse=True)[1]
    lost = np.bincount(index, p < 0.5) > 0
    tied = np.bincount(index, p == 0.5)
    return float(np.where(lost, 0.0, 1 / (1 + tied)).mean())


@dataclass(frozen=True)
class ResponseScores:
    """The scores of one example's responses; higher is better."""

    best: Sequence[float]
    worse: Sequence[float]

    @property
    def gap(self) -> float:
        """The lowest score of a best response minus the highest of a worse one."""
        return min(self.best) - max(self.worse)

    @property
    def spread(self) -> float:
        """The difference between the highest and the lowest score of the best responses."""
        return max(self.best) - min(self.best)


def ties_score(reference: Mapping[str, ResponseScores], tied: Mapping[str, ResponseScores]) -> float | None:
    """RewardBench 2's score of its subset Ties, from -0.01 to 1.01.

    reference: examples with one best response, by prompt. tied: examples with several, by the same names. The score is
    0.3 a(tied) + 0.3 a(reference) + 0.2 b + 0.2 c + 0.01 d, where a is the share with a positive gap, b the share whose
    gap in `tied` exceeds the spread of the best responses there, c the same with the smaller of the gaps in `tied` and
    `reference`, and d the mean of tanh(that gap / spread - 1), 0 where the spread is 0 (Malik et al. 2025, arXiv
    2506.01937, and the project's code). None without an example of both kinds for one prompt.
    """
    names = sorted(set(reference) & set(tied))
    if not names:
        return None
    smaller = [min(reference[name].gap, tied[name].gap) for name in names]
    spreads = [tied[name].spread for name in names]
    preferred = np.mean([tied[name].gap > spread for name, spread in zip(names, spreads, strict=True)])
    hard = np.mean([gap > spread for gap, spread in zip(smaller, spreads, strict=True)])
    margins = [tanh(gap / spread - 1) if spread > 0 else 0.0 for gap, spread in zip(smaller, spreads, strict=True)]
    right = [np.mean([each.gap > 0 for each in examples.values()]) for examples in (tied, reference)]
    return float(0.3 * right[0] + 0.3 * right[1] + 0.2 * preferred + 0.2 * hard + 0.01 * np.mean(margins))
