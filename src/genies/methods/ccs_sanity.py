"""Does a contrast-consistent probe beat directions that were not searched for? (Farquhar et al. 2023, arXiv 2312.10029)

Its accuracy on the source is compared with that of random directions and of the first principal component of the
differences between Yes and No copies. All get their sign from the source's labels, as the probe does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RANDOM_DIRECTIONS = 200


@dataclass(frozen=True)
class Sanity:
    """Accuracies on the source's training pairs; a tie counts half."""

    probe: float
    random_mean: float
    """Mean over random directions."""
    random_95: float
    """95th percentile of random directions."""
    principal_component: float

    @property
    def beaten(self) -> list[str]:
        """The names of what the probe does not beat."""
        others = {
            "random directions (95th percentile)": self.random_95,
            "principal component": self.principal_component,
        }
        return [f"{name} {value:.3f}" for name, value in others.items() if self.probe <= value]

    def sentence(self) -> str:
        """What the comparison shows."""
        said = f"accuracy on the source's training pairs: {self.probe:.3f}"
        if not self.beaten:
            return f"{said}, above random directions ({self.random_95:.3f}, 95th percentile) and the first principal " \
                   f"component ({self.principal_component:.3f})"  # fmt: skip
        return f"{said}, not above {' and '.join(self.beaten)}: the search may have found nothing about the task"


def sanity(probe_accuracy: float, best: NDArray[Any], worse: NDArray[Any], seed: int) -> Sanity:
    """The comparison, from activations [2, pairs, width] of the Yes and No copies of both responses of each pair."""
    responses = np.concatenate([best, worse], axis=1).astype(np.float64)
    centred = responses - responses.mean(axis=1, keepdims=True)
    contrast = centred[0] - centred[1]  # [2 * pairs, width]
    pairs = best.shape[1]
    margins = contrast[:pairs] - contrast[pairs:]  # [pairs, width]
    directions = np.random.default_rng(seed).normal(size=(RANDOM_DIRECTIONS, margins.shape[1]))
    drawn = _accuracies(margins @ directions.T)
    component = np.linalg.svd(contrast, full_matrices=False)[2][0]
    (principal,) = _accuracies((margins @ component)[:, None])
    return Sanity(probe_accuracy, float(drawn.mean()), float(np.quantile(drawn, 0.95)), float(principal))


def _accuracies(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy [directions] of margins [pairs, directions], each with the sign that makes it larger."""
    right = np.mean((margins > 0) + 0.5 * (margins == 0), axis=0)
    return np.asarray(np.maximum(right, 1 - right))
