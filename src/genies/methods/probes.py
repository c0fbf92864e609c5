"""Logistic regressions without intercept, on differences: what tells the better of two from their order alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genies.methods.evaluation import logistic

Array = NDArray[np.float64]


def probe_margins(train: Array, held_back: Array, penalty: float = 1.0) -> Array:
    """Margins [held_back] of a probe fitted to differences (best - worse) `train` [pairs, width].

    Minimizes sum log(1 + exp(-w.x)) + penalty/2 |w|^2 over differences scaled to a root mean square of one, by
    Newton's method: logistic regression with every pair in both orders, for which no intercept is needed. A positive
    margin says that the probe takes the best response for the best.
    """
    scale = np.sqrt(np.mean(np.square(train)))
    if scale == 0:
        return np.zeros(len(held_back))
    train, held_back = train / scale, held_back / scale
    if train.shape[1] > train.shape[0]:
        # The solution lies in the span of the pairs: the same problem in as many dimensions as there are pairs.
        basis, _ = np.linalg.qr(train.T)
        train, held_back = train @ basis, held_back @ basis
    weights = np.zeros(train.shape[1])
    loss = _loss(train, weights, penalty)
    for _ in range(50):
        wrong = logistic(-(train @ weights))
        gradient = penalty * weights - train.T @ wrong
        curvature = train.T @ (train * (wrong * (1 - wrong))[:, None])
        curvature[np.diag_indices_from(curvature)] += penalty
        step = np.linalg.solve(curvature, gradient)
        fraction = 1.0
        while (found := _loss(train, weights - fraction * step, penalty)) > loss and fraction > 1e-9:
            fraction /= 2
        weights, gain, loss = weights - fraction * step, loss - found, found
        if gain <= 1e-10 * abs(loss):
            break
    return np.asarray(held_back @ weights)


def _loss(inputs: Array, weights: Array, penalty: float) -> float:
    return float(np.logaddexp(0, -(inputs @ weights)).sum() + penalty / 2 * weights @ weights)


def fit_slope(values: Array) -> float:
    """Slope of a one-dimensional logistic regression through 0 on `values` of held-back pairs.

    Every pair stands there in both orders, (value, 1) and (-value, 0), so that p = logistic(slope * value) turns to
    1 - p when the responses change places. Targets are Platt's (1999) (n + 1)/(n + 2) and 1/(n + 2) instead of 1 and
    0, n the number of pairs: the slope stays finite when all values have the right sign.
    """
    target = (len(values) + 1) / (len(values) + 2)
    widest = float(np.abs(values).max(initial=0))
    if widest < 1e-12:
        return 0.0  # nothing but rounding

    def slope_of_loss(slope: float) -> float:
        return float(np.sum(values * (logistic(slope * values) - target)))

    # The loss is convex: its slope rises with ours, and crosses zero within a bracket that can be widened.
    low, high = -1 / widest, 1 / widest
    while slope_of_loss(low) > 0:
        low *= 2
    while slope_of_loss(high) < 0:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        if slope_of_loss(middle) < 0:
            low = middle
        else:
            high = middle
    return high
