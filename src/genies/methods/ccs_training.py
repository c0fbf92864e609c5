"""Train the probe of contrast-consistent search (Burns et al. 2022, section 2.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.lm.capability import first_line
from genies.lm.sites import Site
from genies.methods.ccs import ConsistencyProbe, Normalize, mean_activations


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
    responses = np.concatenate([best, worse], axis=1)
    probe = oriented(search_probe(responses, site, restarts, steps, learning_rate, weight_decay, seed), best, worse)
    return replace(probe, normalize=normalize)


def search_probe(
    responses: NDArray[Any],
    site: Site,
    restarts: int = 10,
    steps: int = 1000,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
) -> ConsistencyProbe:
    """Fit a probe, whose sign is arbitrary, to activations [2, responses, width] of Yes and No copies.

    The responses are two for each pair. Raises InputError for fewer than two pairs or activations that are not finite.
    """
    pairs, responses = responses.shape[1] // 2, responses.astype(np.float64)
    if pairs < 2:
        raise InputError(
            f"{pairs} training pairs are too few: at least two are needed, because their mean is subtracted"
        )
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
    return ConsistencyProbe(
        site, weights[chosen].double().numpy(), float(biases[chosen]), means, float(losses[chosen]), 0.0, pairs
    )


def oriented(
    probe: ConsistencyProbe, best: NDArray[Any], worse: NDArray[Any], means: NDArray[np.float64] | None = None
) -> ConsistencyProbe:
    """The probe with the sign that is right on at least half of the pairs, and its accuracy on them.

    best, worse: activations [2, pairs, width]; means: their mean activations [2, width] (default: the probe's).
    """
    p = probe.probabilities(best, worse, means)
    accuracy = float(np.mean((p > 0.5) + 0.5 * (p == 0.5)))
    sign = -1.0 if accuracy < 0.5 else 1.0
    return replace(
        probe, weights=sign * probe.weights, bias=sign * probe.bias, train_accuracy=max(accuracy, 1 - accuracy)
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
