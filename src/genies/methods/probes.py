"""Logistic regressions, on differences of pairs or on single responses, that select sites and calibrate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genies.methods.evaluation import logistic

Array = NDArray[np.float64]


def probe_margins(train: Array, held_back: Array, penalty: float = 1.0) -> Array:
    """Margins [held_back] of a probe fitted to differences (best - worse) `train` [pairs, width].

    Minimizes sum log(1 + exp(-w.x)) + penalty/2 |w|^2 by Newton's method, over differences scaled to a root mean square
    of one. This is logistic regression with every pair in both orders, which needs no intercept. A positive margin
    means that the probe prefers the best response.
    """
    filled = train.any(axis=0)  # narrower heads are padded with zeros, which must not count in the scale
    if not filled.any():
        return np.zeros(len(held_back))
    train, held_back = train[:, filled], held_back[:, filled]
    scale = np.sqrt(np.mean(np.square(train)))
    train, held_back = train / scale, held_back / scale
    train, held_back = _in_span(train, held_back)
    weights = _minimize(train, np.full(train.shape[1], penalty))
    return np.asarray(held_back @ weights)


def response_margins(train: Array, held_back: Array, penalty: float = 1.0) -> Array:
    """Margins [2 * held_back] of a probe fitted to single responses `train` [2, pairs, width], the best ones first.

    Minimizes sum log(1 + exp(-y (w.x + b))) + penalty/2 |w|^2 with y = 1 for best and -1 for worse responses, the
    intercept b not penalized: scikit-learn's LogisticRegression with C = 1 / penalty, which the 2023 release used with
    default arguments and unscaled activations. A positive margin means that the probe classifies a held-back response
    correctly.
    """
    # Centring and scaling make the solution more exact. The problem is the same, because the intercept absorbs the mean
    # and the penalty the scale. A tiny penalty on all weights keeps the curvature invertible if no margin is near zero.
    mean = train.mean(axis=(0, 1))
    scale = np.sqrt(np.mean(np.square(train - mean))) or 1.0
    inputs, held = _in_span(*(np.concatenate((each - mean) / scale) for each in (train, held_back)))
    weights = _minimize(_labelled(inputs), np.append(np.full(inputs.shape[1], max(penalty / scale**2, 1e-9)), 1e-9))
    return np.asarray(_labelled(held) @ weights)


def _labelled(inputs: Array) -> Array:
    """Rows y * (x, 1); the first half of `inputs` are best responses."""
    signs = np.repeat([1.0, -1.0], len(inputs) // 2)
    return signs[:, None] * np.column_stack([inputs, np.ones(len(inputs))])


def _in_span(train: Array, held_back: Array) -> tuple[Array, Array]:
    """The same problem in the span of the training rows, which contains the solution."""
    if train.shape[1] <= train.shape[0]:
        return train, held_back
    basis, _ = np.linalg.qr(train.T)
    return train @ basis, held_back @ basis


def _minimize(rows: Array, penalties: Array) -> Array:
    """Weights w that minimize sum log(1 + exp(-w.row)) + sum penalties/2 w^2, found by Newton's method."""
    weights = np.zeros(rows.shape[1])
    loss = _loss(rows, weights, penalties)
    for _ in range(50):
        wrong = logistic(-(rows @ weights))
        gradient = penalties * weights - rows.T @ wrong
        curvature = rows.T @ (rows * (wrong * (1 - wrong))[:, None])
        curvature[np.diag_indices_from(curvature)] += penalties
        step = np.linalg.solve(curvature, gradient)
        fraction = 1.0
        while (found := _loss(rows, weights - fraction * step, penalties)) > loss and fraction > 1e-9:
            fraction /= 2
        weights, gain, loss = weights - fraction * step, loss - found, found
        if gain <= 1e-10 * abs(loss):
            break
    return weights


def _loss(rows: Array, weights: Array, penalties: Array) -> float:
    return float(np.logaddexp(0, -(rows @ weights)).sum() + penalties @ np.square(weights) / 2)


def fit_slope(values: Array) -> float:
    """Slope of a one-dimensional logistic regression through 0 on `values` of held-back pairs.

    The regression contains every pair in both orders, (value, 1) and (-value, 0), so that p = logistic(slope * value)
    becomes 1 - p if the responses are swapped. For n pairs, targets are (n + 1)/(n + 2) and 1/(n + 2) (Platt 1999)
    instead of 1 and 0, so the slope is finite even if all values have the right sign.
    """
    target = (len(values) + 1) / (len(values) + 2)
    widest = float(np.abs(values).max(initial=0))
    if widest < 1e-12:
        return 0.0  # only rounding errors

    def slope_of_loss(slope: float) -> float:
        return float(np.sum(values * (logistic(slope * values) - target)))

    # The loss is convex, so its derivative increases with the slope. Widen the bracket until it contains the zero.
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
