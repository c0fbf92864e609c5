"""Mean log-probabilities of responses with gradient, computed in blocks of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genies.lm.capability import apply_head
from genies.lm.forward import call, hidden_states
from genies.lm.model import LanguageModel
from genies.methods.training.micro_batches import MicroBatch

PLACES = 128
"""Number of tokens whose logits are in memory at a time."""


def mean_log_probabilities(model: LanguageModel, micro: MicroBatch) -> Tensor:
    """Mean log-probability [sequences], float32, of each sequence's response tokens, including end-of-text."""
    totals, counts = log_probabilities(model, micro)
    return totals / counts


def log_probabilities(model: LanguageModel, micro: MicroBatch, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum of the log-probabilities [sequences], float32, of each sequence's response tokens, and their number.

    hidden: the last hidden states of the micro-batch, if they are known; a model whose head is more than a linear layer
    runs again all the same. Does not support virtual tokens before the sequences.
    """
    before, targets, owners = [], [], []
    for owner, (sequence, where) in enumerate(zip(micro.sequences, micro.batch.places, strict=True)):
        for place in sequence.response:
            if place > 0:  # the first token of a text has no probability
                before.append(where[place - 1])
                targets.append(sequence.ids[place])
                owners.append(owner)
    # On the CPU, because with device_map, hidden states and logits may be on other devices than the ids.
    places, target, owner_of = (torch.tensor(each) for each in (before, targets, owners))
    if model.plain_head:
        hidden = (hidden_states(model, micro.batch) if hidden is None else hidden)[places]
        found = torch.cat(
            [
                # Logits of all tokens at once would need the most memory, so they are computed twice instead.
                checkpoint(_of_block, model.network, hidden[start : start + PLACES], target[start : start + PLACES],
                           use_reentrant=False)
                for start in range(0, len(places), PLACES)
            ]
        )  # fmt: skip
    else:
        found = _chosen(call(model, model.network, micro.batch).logits.flatten(0, 1)[places], target)
    owner_of = owner_of.to(model.device)
    totals = torch.zeros(len(micro.sequences), device=model.device).index_add(0, owner_of, found.to(model.device))
    return totals, torch.bincount(owner_of, minlength=len(micro.sequences))


def _of_block(network: torch.nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    return _chosen(apply_head(network.get_output_embeddings(), hidden), targets)  # type: ignore[operator]


def _chosen(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability [places] of each target."""
    return -torch.nn.functional.cross_entropy(logits.float(), targets.to(logits.device), reduction="none")
