"""Read activations of the untuned model while several processes each have a part of it, for a training in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.lm.activations import find_blocks, read_batch
from genies.lm.model_outline import ModelOutline
from genies.lm.sites import Site
from genies.lm.text import TokenSequence
from genies.methods.training.gradients import Trainee, score_pairs
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.pairs import neighbours
from genies.methods.training.sharding import scoring


class DividedReader:
    """Reads last-token activations after blocks, as ActivationReader does, but without a cache.

    Each process computes a share of the texts, and all of them get the activations of all texts.
    """

    def __init__(
        self,
        trainee: Trainee,
        untuned: AbstractContextManager[Any],
        outline: ModelOutline,
        budget: int,
        accelerator: Any,
    ) -> None:
        """untuned: a context in which the trainee's adapters are off; budget: tokens of a forward pass."""
        self.outline = outline
        self._trainee, self._untuned, self._budget, self._accelerator = trainee, untuned, budget, accelerator

    def __call__(
        self, sequences: Sequence[Sequence[int]], sites: Sequence[Site], also: Sequence[Sequence[int]] = ()
    ) -> NDArray[np.float32]:
        """Activations [sequences, sites, width] at the last token of each sequence; `also` is not used."""
        # In order, so that texts with a shared beginning are in one row.
        unique = sorted({tuple(sequence) for sequence in sequences})
        found = self._read(unique, sites)
        place = {ids: index for index, ids in enumerate(unique)}
        return found[[place[tuple(sequence)] for sequence in sequences]]

    def _read(self, texts: Sequence[tuple[int, ...]], sites: Sequence[Site]) -> NDArray[np.float32]:
        trainee = self._trainee
        model, lockstep = trainee.model, trainee.lockstep
        assert lockstep is not None
        blocks = find_blocks(model)
        hooked = [(site.layer, blocks[site.block]) for site in sites]

        def after_blocks(micro: MicroBatch) -> Tensor:
            last = micro.last_tokens.to(model.device)
            return torch.stack([each.float() for each in read_batch(model, micro.batch, hooked, last)], dim=1).flatten(
                1
            )

        pairs = neighbours([TokenSequence(ids, (len(ids) - 1,)) for ids in texts])
        own: dict[int, Tensor] = {}

        def keep(slots: list[int], found: Tensor) -> None:
            own.update(zip(slots, found.cpu(), strict=True))

        width = int(model.decoder.config.get_text_config().hidden_size)
        reader = scoring(trainee, after_blocks, len(sites) * width)
        with self._untuned:
            score_pairs(reader, pairs, self._budget, self._accelerator, model.dtype, keep)
        values = np.empty((2 * len(pairs), len(sites), width), dtype=np.float32)
        for number in range(len(sites)):  # of one block at a time, because those of all may be large
            part = torch.zeros(len(pairs), 2, width, device=model.device)
            for slot, each in own.items():
                part[slot] = each[:, number * width : (number + 1) * width].to(model.device)
            lockstep.sum(part)
            values[:, number] = part.flatten(0, 1).cpu().numpy()
        if not np.isfinite(values).all():
            raise InputError(
                f"the model in {model.folder} returned activations that are not finite; try --dtype float32"
            )
        return values[: len(texts)]
