"""Contrast-consistent search (Burns et al. 2022, section 2.2): a linear probe, trained without labels, whose output for
a response followed by Yes is the opposite of its output for the same response followed by No."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import Tensor

from genies.errors import InputError
from genies.files import write_bytes, write_json
from genies.lm.capability import first_line
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


def fit_consistency_probe(
    best: NDArray[Any],
    worse: NDArray[Any],
    site: Site,
    restarts: int = 10,
    steps: int = 1000,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    normalize: Normalize = "source",
) -> ConsistencyProbe:
    """Fit a probe to activations [2, pairs, width] of the Yes and No copies of training pairs' responses.

    Labels determine only the sign, which the loss does not. Raises InputError for fewer than two pairs or activations
    that are not finite.
    """
    pairs = best.shape[1]
    if pairs < 2:
        raise InputError(
            f"{pairs} training pairs are too few: at least two are needed, because their mean is subtracted"
        )
    responses = np.concatenate([best, worse], axis=1).astype(np.float64)
    if not np.isfinite(responses).all():
        raise InputError("the model returned activations that are not finite; try --dtype float32")
    means = mean_activations(responses)
    centred = torch.from_numpy(responses - means[:, None]).float()
    try:
        weights, biases = _search(centred, restarts, steps, learning_rate, weight_decay, seed)
    except RuntimeError as error:  # a step beyond float32
        raise InputError(f"the probe cannot be trained ({first_line(error)}); lower --learning_rate") from None
    with torch.inference_mode():
        losses = consistency_loss(*_confidences(centred, weights, biases))
    if not losses.isfinite().any():
        raise InputError("the probe's loss is not finite after training, in every restart; lower --learning_rate")
    chosen = int(losses.nan_to_num(nan=torch.inf).argmin())
    probe = ConsistencyProbe(
        site, weights[chosen].double().numpy(), float(biases[chosen]), means, float(losses[chosen]), 0.0, pairs
    )
    p = probe.probabilities(best, worse)
    accuracy = float(np.mean((p > 0.5) + 0.5 * (p == 0.5)))
    sign = -1.0 if accuracy < 0.5 else 1.0
    return replace(
        probe,
        weights=sign * probe.weights,
        bias=sign * probe.bias,
        train_accuracy=max(accuracy, 1 - accuracy),
        normalize=normalize,
    )


def consistency_loss(yes: Tensor, no: Tensor) -> Tensor:
    """(p(Yes) - (1 - p(No)))^2 + min(p(Yes), p(No))^2, averaged over responses, the first dimension.

    >>> consistency_loss(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5]))
    tensor(0.1250)
    """
    return ((yes + no - 1).square() + torch.minimum(yes, no).square()).mean(dim=0)


def _confidences(centred: Tensor, weights: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
    """Confidences [responses, restarts] of Yes copies and of No copies."""
    yes, no = torch.sigmoid(centred @ weights.T + biases)
    return yes, no


def _search(
    centred: Tensor, restarts: int, steps: int, learning_rate: float, weight_decay: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Weights [restarts, width] and biases [restarts] after full-batch AdamW.

    Restarts share no parameters and AdamW updates each value independently, so all restarts run at the same time.
    """
    width = centred.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(restarts, width + 1, generator=generator)
    start = (2 * start - 1) / width**0.5
    weights, biases = start[:, :-1].clone().requires_grad_(), start[:, -1].clone().requires_grad_()
    optimizer = torch.optim.AdamW([weights, biases], lr=learning_rate, weight_decay=weight_decay)
    for _ in range(steps):
        optimizer.zero_grad()
        consistency_loss(*_confidences(centred, weights, biases)).sum().backward()
        optimizer.step()
    return weights.detach(), biases.detach()


def _log_logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.logaddexp(0, -values)
