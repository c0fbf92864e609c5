"""Metrics of pairs: how often and how clearly the best response is preferred.

All functions take the probabilities p of the best response in all pairs, shape (pairs,), each in [0, 1].
"""

from __future__ import annotations

import numpy as np

from genies.metrics.probabilities import Floats, Probabilities, checked


def accuracy(probabilities: Probabilities) -> float:
    """Share of pairs whose best response has a probability above one half; a tie counts half.

    mean([p > 0.5] + [p = 0.5] / 2)

    >>> accuracy([0.9, 0.5, 0.2, 0.7])
    0.625
    """
    p = checked(probabilities)
    return float(np.count_nonzero(p > 0.5) + np.count_nonzero(p == 0.5) / 2) / p.size


def ties(probabilities: Probabilities) -> int:
    """Number of pairs with a probability of exactly one half.

    >>> ties([0.9, 0.5, 0.2, 0.5])
    2
    """
    return int(np.count_nonzero(checked(probabilities) == 0.5))


def brier_score(probabilities: Probabilities) -> float:
    """Brier score, mean((1 - p)^2); 0 is perfect (Brier 1950).

    >>> brier_score([1.0, 0.5, 0.0])
    0.4166666666666667
    """
    return float(np.mean((1 - checked(probabilities)) ** 2))


def average_probability(probabilities: Probabilities) -> float:
    """Mean probability of the best response.

    >>> average_probability([1.0, 0.5, 0.0])
    0.5
    """
    return float(np.mean(checked(probabilities)))


def scores(probabilities: Probabilities) -> Floats:
    """The score of each pair in accuracy, shape (pairs,): 1 if p > 0.5, one half for a tie, otherwise 0.

    >>> scores([0.9, 0.5, 0.2])
    array([1. , 0.5, 0. ])
    """
    return (np.sign(checked(probabilities) - 0.5) + 1) / 2


def margin(probabilities: Probabilities) -> float:
    """Mean over pairs of p - (1 - p), the lead of the best response; from -1 to 1.

    >>> margin([1.0, 0.75, 0.5])
    0.5
    """
    return float(np.mean(2 * checked(probabilities) - 1))


def auroc(probabilities: Probabilities) -> float:
    """Area under the ROC curve when every pair is presented in both orders, as (p, label 1) and (1 - p, label 0).

    The share of all (i, j) with p_i > 1 - p_j, where equality counts half (Hanley and McNeil 1982). Unlike accuracy, it
    measures whether p ranks presentations across pairs, so that confident right answers rank above unsure wrong ones.

    >>> auroc([0.9, 0.6, 0.3])  # six of the nine sums p_i + p_j are above 1: all but 0.3 with 0.6 (twice) and 0.3
    0.6666666666666666
    >>> auroc([0.5, 0.5])
    0.5
    """
    p = checked(probabilities)
    opposite = np.sort(1 - p)
    below = np.searchsorted(opposite, p, side="left")
    not_above = np.searchsorted(opposite, p, side="right")
    return float(np.sum(below + not_above)) / 2 / p.size**2
