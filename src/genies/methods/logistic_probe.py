"""A logistic probe: L2-regularized logistic regression on the differences of two responses' hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from genies.errors import InputError
from genies.files import write_bytes, write_json
from genies.lm.sites import Site
from genies.methods.base_model import read_record
from genies.methods.directions import check_activations, check_width, hold_back
from genies.methods.evaluation import logistic
from genies.methods.probes import fit_slope

_TENSORS, _RECORD = "probe.safetensors", "probe.json"

STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
"""scikit-learn's C, the inverse of the penalty's strength, for differences with a root mean square of one."""


@dataclass(frozen=True)
class LogisticProbe:
    """A linear probe at one site; p(best) = logistic(slope * weights . (best - worse))."""

    site: Site
    weights: NDArray[np.float64]
    """[width]"""
    slope: float
    """Calibration, fitted to the margins of held-back pairs."""
    strength: float
    """The chosen value of C."""
    accuracy: float
    """Accuracy on held-back pairs, on which site and strength were chosen."""
    pairs: int
    """Number of training pairs."""

    def probabilities(self, best: NDArray[Any], worse: NDArray[Any]) -> NDArray[np.float64]:
        """Probability [pairs] of the best response, from activations [pairs, width] of both."""
        difference = np.asarray(best, dtype=np.float64) - worse
        check_width(difference, self.weights)
        return logistic(self.slope * (difference @ self.weights))

    def save(self, folder: Path) -> None:
        """Write probe.safetensors and probe.json."""
        write_bytes(folder / _TENSORS, save({"weights": self.weights}))
        record = {"slope": self.slope, "strength": self.strength, "accuracy": self.accuracy, "pairs": self.pairs}
        write_json(folder / _RECORD, {"block": self.site.block, **record})

    @classmethod
    def load(cls, folder: Path) -> LogisticProbe:
        """Load what `save` wrote; InputError if a file is missing or damaged."""
        record = read_record(folder, _RECORD, "record of the probe")
        try:
            weights = load_file(folder / _TENSORS)["weights"]
            slope, strength, accuracy = (float(record[name]) for name in ("slope", "strength", "accuracy"))
            if weights.ndim != 1 or not (np.isfinite(weights).all() and np.isfinite([slope, strength, accuracy]).all()):
                raise ValueError(f"weights of shape {weights.shape}, values {[slope, strength, accuracy]}")
            return cls(Site(int(record["block"])), weights, slope, strength, accuracy, int(record["pairs"]))
        except FileNotFoundError:
            raise InputError(f"{folder / _TENSORS} does not exist; train again") from None
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the probe in {folder} is damaged ({error!r}); train again") from None


def fit_logistic_probe(
    best: NDArray[Any],
    worse: NDArray[Any],
    sites: Sequence[Site],
    strengths: Sequence[float] = STRENGTHS,
    validation_share: float = 0.3,
    seed: int = 0,
) -> LogisticProbe:
    """Fit a probe to activations [pairs, sites, width] of the best and the worse responses of training pairs.

    A share of the pairs, drawn with `seed`, is held back. Of all sites and strengths, the probe with the lowest log
    loss on held-back pairs among the most accurate ones is chosen; it is fitted again to all pairs. Every pair is in
    the regression in both orders, so it needs no intercept, and p becomes 1 - p if the responses are swapped.
    Raises InputError for fewer than two pairs or activations that are not finite.
    """
    check_activations(best, worse)
    held, fitted = hold_back(len(best), validation_share, seed)
    differences = best.astype(np.float64) - worse
    candidates = []
    for place in range(len(sites)):
        rows = differences[:, place]
        scale = _scale(rows[fitted])
        for strength in strengths:
            margins = rows[held] @ _regression(rows[fitted] / scale, strength) / scale
            slope = fit_slope(margins)
            accuracy = float(np.mean((margins > 0) + 0.5 * (margins == 0)))
            loss = float(np.mean(np.logaddexp(0, -slope * margins)))
            candidates.append((-accuracy, loss, place, strength, slope))
    accuracy, _, place, strength, slope = min(candidates)
    rows = differences[:, place]
    scale = _scale(rows)
    weights = _regression(rows / scale, strength) / scale
    return LogisticProbe(sites[place], weights, slope, strength, -accuracy, len(best))


def _scale(rows: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(rows)))) or 1.0


def _regression(rows: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Weights [width] of a logistic regression on rows [pairs, width] and their opposites."""
    from sklearn.linear_model import LogisticRegression

    if not rows.any():
        return np.zeros(rows.shape[1])
    # C halved: every pair is in the sum of losses twice.
    model = LogisticRegression(C=strength / 2, fit_intercept=False, solver="lbfgs", max_iter=2000, tol=1e-8)
    model.fit(np.concatenate([rows, -rows]), np.repeat([1, 0], len(rows)))
    weights: NDArray[np.float64] = model.coef_[0].astype(np.float64)
    return weights
