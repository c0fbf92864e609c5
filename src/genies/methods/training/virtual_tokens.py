"""Virtual tokens of prompt tuning (Lester et al. 2021) as ids beyond the vocabulary, so that packed rows, positions
and masks treat them like other tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class VirtualTokens(nn.Module):
    """An embedding of the model's vocabulary and, with the ids that follow it, of the virtual tokens.

    >>> words, virtual = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0]])), nn.Parameter(torch.tensor([[3.0]]))
    >>> VirtualTokens(words, virtual, 2)(torch.tensor([[2, 0, 1]])).flatten()
    tensor([3., 1., 2.], grad_fn=<ViewBackward0>)
    """

    def __init__(self, words: Any, virtual: nn.Parameter, first_id: int) -> None:
        """`words` is the model's embedding. `virtual` [tokens, width] has the ids from `first_id`, its size."""
        super().__init__()
        self.words = words
        self.virtual = virtual
        self.first_id = first_id

    @property
    def weight(self) -> Tensor:
        """A tensor with the shape and device of the embedding, for code that reads these; its values are all zero."""
        return self.virtual.new_zeros(()).expand(self.first_id + len(self.virtual), self.virtual.shape[1])

    def forward(self, ids: Tensor) -> Tensor:
        is_virtual = ids >= self.first_id
        words: Tensor = self.words(ids.masked_fill(is_virtual, 0))
        # One row represents all words, so the gradient of every virtual token is a plain sum over its positions.
        rows = torch.cat([self.virtual, self.virtual.new_zeros(1, self.virtual.shape[1])])
        chosen = rows[torch.where(is_virtual, ids - self.first_id, len(self.virtual))]
        return torch.where(is_virtual[..., None], chosen.to(words.dtype), words)


def put_in_front(network: Any, virtual: nn.Parameter) -> tuple[int, ...]:
    """Replace the embedding of `network` by one with these virtual tokens; returns their ids."""
    words = network.get_input_embeddings()
    first = int(words.weight.shape[0])
    network.set_input_embeddings(VirtualTokens(words, virtual, first))
    return tuple(range(first, first + len(virtual)))
