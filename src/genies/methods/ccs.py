"""Contrast-consistent search (Burns et al. 2022, section 2.2): a linear probe, trained without labels, whose output for
a response followed by Yes is the opposite of its output for the same response followed by No.

Imports no torch; `ccs_training` fits probes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from genies.errors import InputError
from genies.files import write_bytes, write_json
from genies.lm.sites import Site
from genies.methods.base_model import read_record
from genies.methods.directions import check_width
from genies.methods.evaluation import logistic

Normalize = Literal["source", "target"]
"""Whose mean activations an evaluation subtracts: the source's, as in training, or the target's."""

_TENSORS, _RECORD = "ccs.safetensors", "ccs.json"


@dataclass(frozen=True)
class ConsistencyProbe:
    """A linear probe of a response's Yes and No copies; the confidence of a copy is logistic(weights . x + bias)."""

    site: Site
    weights: NDArray[np.float64]
    """[width]; the sign is chosen so that a high confidence of Yes means that the response follows the instruction."""
    bias: float
    means: NDArray[np.float64]
    """Mean activations [2, width] of the source's Yes copies and No copies, which are subtracted from those copies."""
    loss: float
    """Consistency plus confidence loss on the training responses, the lowest of all restarts."""
    train_accuracy: float
    """Share of the training pairs in which the best response has the higher confidence; a tie counts half."""
    pairs: int
    """Number of training pairs."""
    normalize: Normalize = "source"
    """Whose mean activations evaluation subtracts by default."""

    def log_odds(self, activations: NDArray[Any], means: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Log-odds [responses] of the averaged confidence (p(Yes) + 1 - p(No)) / 2, computed without overflow.

        `activations` [2, responses, width] are those of the Yes copies and the No copies; `means` [2, width] replace
        those of the source.
        """
        check_width(activations, self.weights)
        centred = np.asarray(activations, dtype=np.float64) - (self.means if means is None else means)[:, None]
        yes, no = centred @ self.weights + self.bias
        return np.asarray(
            np.logaddexp(_log_logistic(yes), _log_logistic(-no)) - np.logaddexp(_log_logistic(-yes), _log_logistic(no))
        )

    def probabilities(
        self, best: NDArray[Any], worse: NDArray[Any], means: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Probability [pairs] of the best response, from activations [2, pairs, width] of both; `means` as in log_odds.

        With the averaged confidences b and w of the best and the worse response, this is
        b (1 - w) / (b (1 - w) + w (1 - b)): the probability that the best response follows the instruction, given that
        exactly one of them does.
        """
        return logistic(self.log_odds(best, means) - self.log_odds(worse, means))

    def save(self, folder: Path) -> None:
        """Write ccs.safetensors and ccs.json."""
        tensors = {"weights": self.weights, "bias": np.array([self.bias]), "means": self.means}
        write_bytes(folder / _TENSORS, save(tensors))
        record = {"loss": self.loss, "train_accuracy": self.train_accuracy, "pairs": self.pairs}
        write_json(folder / _RECORD, {"block": self.site.block, **record, "normalize": self.normalize})

    @classmethod
    def load(cls, folder: Path) -> ConsistencyProbe:
        """Load what `save` wrote; InputError if a file is missing or damaged."""
        record = read_record(folder, _RECORD, "record of the probe")
        try:
            tensors = load_file(folder / _TENSORS)
            if tensors["weights"].ndim != 1 or tensors["means"].shape != (2, len(tensors["weights"])):
                raise ValueError(f"weights {tensors['weights'].shape} and means {tensors['means'].shape}")
            if not all(np.isfinite(each).all() for each in tensors.values()):
                raise ValueError("a value is not a number")
            return cls(
                Site(int(record["block"])),
                tensors["weights"],
                float(tensors["bias"][0]),
                tensors["means"],
                float(record["loss"]),
                float(record["train_accuracy"]),
                int(record["pairs"]),
                _normalize(record.get("normalize", "source")),
            )
        except FileNotFoundError:
            raise InputError(f"{folder / _TENSORS} does not exist; train again") from None
        except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"the probe in {folder} is damaged ({error!r}); train again") from None


def _normalize(value: Any) -> Normalize:
    if value not in get_args(Normalize):
        raise ValueError(f"normalize {value!r}")
    found: Normalize = value
    return found


def mean_activations(responses: NDArray[Any]) -> NDArray[np.float64]:
    """Means [2, width] of activations [2, responses, width]; the responses need no labels."""
    means: NDArray[np.float64] = np.asarray(responses, dtype=np.float64).mean(axis=1)
    return means


def _log_logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.logaddexp(0, -values)
