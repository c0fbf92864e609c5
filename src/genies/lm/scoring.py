"""Log-probabilities of responses, computed without a full row of logits in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.lm.forward import Batch, call, hidden_states, run_batches
from genies.lm.model import LanguageModel
from genies.lm.text import TokenSequence

VOCABULARY_BLOCK = 2048
"""Number of vocabulary entries whose logits are in memory at a time."""


def response_log_probabilities(
    model: LanguageModel, sequences: Sequence[TokenSequence], batch_tokens: int | None = None, label: str = "scoring"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each sequence, the sum of the log-probabilities (natural logarithm) of its response tokens, and their number.

    The end-of-text token counts. A response token without a token before it has no probability and does not count.
    """
    totals = np.zeros(len(sequences))
    counts = np.array([sum(place > 0 for place in sequence.response) for sequence in sequences], dtype=np.int64)

    def add(scored: list[int], owners: list[int], found: NDArray[np.float64]) -> None:
        totals[scored] = 0
        np.add.at(totals, owners, found)

    _score_tokens(model, sequences, batch_tokens, label, add)
    return totals, counts


def token_log_probabilities(
    model: LanguageModel, sequences: Sequence[TokenSequence], batch_tokens: int | None = None, label: str = "scoring"
) -> list[NDArray[np.float64]]:
    """For each sequence, the log-probability of each response token that has a token before it, in order."""
    tokens: list[NDArray[np.float64]] = [np.zeros(0)] * len(sequences)

    def keep(scored: list[int], owners: list[int], found: NDArray[np.float64]) -> None:
        for index in scored:
            tokens[index] = found[np.equal(owners, index)]

    _score_tokens(model, sequences, batch_tokens, label, keep)
    return tokens


def _score_tokens(
    model: LanguageModel,
    sequences: Sequence[TokenSequence],
    batch_tokens: int | None,
    label: str,
    take: Callable[[list[int], list[int], NDArray[np.float64]], None],
) -> None:
    """Call `take` with the sequences of each batch, the sequence of each of their response tokens, and the tokens'
    log-probabilities."""

    def score(batch: Batch) -> None:
        places: list[int] = []
        targets: list[int] = []
        owners: list[int] = []
        for where, index in zip(batch.places, batch.sequences, strict=True):
            for place in sequences[index].response:
                if place > 0:
                    places.append(where[place - 1])
                    targets.append(sequences[index].ids[place])
                    owners.append(index)
        if not places:
            return
        found = _log_probabilities(model, batch, torch.tensor(places), torch.tensor(targets))
        take(batch.sequences, owners, found.double().cpu().numpy())

    run_batches(model, [sequence.ids for sequence in sequences], score, batch_tokens, label, model.plain_head)


def _log_probabilities(model: LanguageModel, batch: Batch, places: Tensor, targets: Tensor) -> Tensor:
    """Log-probability, float32, of token targets[i] after the token at places[i] of the flattened batch."""
    # Responses with a shared prefix need the same distribution: each place is computed once.
    unique, which = torch.unique(places, return_inverse=True)
    if model.plain_head:
        hidden = hidden_states(model, batch)
        head = model.network.get_output_embeddings()
        device = head.weight.device  # with device_map, the last block may be on another device
        chosen = hidden[unique.to(hidden.device)].to(head.weight)  # Mamba's are float32 for any dtype of the weights
        return blockwise_log_probabilities(
            chosen, head.weight, getattr(head, "bias", None), which.to(device), targets.to(device)
        )
    logits: Tensor = call(model, model.network, batch).logits.flatten(0, 1)
    logits = logits[unique.to(logits.device)].float()
    return logits.log_softmax(-1)[which.to(logits.device), targets.to(logits.device)]


def blockwise_log_probabilities(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    which: Tensor,
    targets: Tensor,
    block: int = VOCABULARY_BLOCK,
) -> Tensor:
    """log softmax(hidden @ weight.T + bias)[which[i], targets[i]], float32, in blocks of the vocabulary.

    hidden [places, width], weight [vocabulary, width]. Uses the running log-sum-exp of Milakov & Gimelshein (2018).

    >>> hidden, weight = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0]])
    >>> blockwise_log_probabilities(hidden, weight, None, torch.tensor([0, 0]), torch.tensor([1, 3]), block=3).exp()
    tensor([0.2500, 0.2500])
    """
    highest = hidden.new_full((len(hidden), 1), float("-inf"), dtype=torch.float32)
    total = torch.zeros_like(highest)
    chosen = hidden.new_zeros(len(targets), dtype=torch.float32)
    for start in range(0, len(weight), block):
        stop = min(start + block, len(weight))
        part = None if bias is None else bias[start:stop]
        logits = torch.nn.functional.linear(hidden, weight[start:stop], part).float()
        inside = ((targets >= start) & (targets < stop)).nonzero().flatten()
        chosen[inside] = logits[which[inside], targets[inside] - start]
        higher = torch.maximum(highest, logits.amax(dim=-1, keepdim=True))
        total = total * (highest - higher).exp() + logits.sub_(higher).exp_().sum(dim=-1, keepdim=True)
        highest = higher
    return chosen - (highest + total.log()).flatten()[which]
