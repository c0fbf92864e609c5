"""The gradient of one training step, computed in micro-batches by one or several processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm.capability import is_out_of_memory
from genies.lm.forward import company
from genies.lm.model import LanguageModel
from genies.methods.training.dropout import Draw, drawing, stable_number
from genies.methods.training.lockstep import Lockstep, free_cached
from genies.methods.training.micro_batches import MicroBatch, make_micro_batches
from genies.methods.training.pairs import TrainingPair, divide, share_among

Loss = Callable[[Tensor, Tensor, int], Tensor]
"""The loss of each pair [pairs] from scores [pairs, 2, columns], of the best and the worse response, from labels
[pairs], the probability that the best response is better, and from the number of the step, from 0."""


def preference_loss(scores: Tensor, labels: Tensor, _step: int = 0) -> Tensor:
    """Cross-entropy of the labels and the sigmoid of the margins of the first column (Bradley & Terry 1952).

    For the label 1 it is -log sigmoid(best - worse).

    >>> preference_loss(torch.tensor([[[1.0], [1.0]], [[2.0], [0.0]]]), torch.tensor([1.0, 0.5]))
    tensor([0.6931, 1.1269])
    """
    margins = scores[:, 0, 0] - scores[:, 1, 0]
    return torch.nn.functional.softplus(-margins) + (1 - labels) * margins


@dataclass(frozen=True)
class Trainee:
    """A model to train, with its trainable parameters, its scoring function and its loss."""

    model: LanguageModel
    parameters: dict[str, torch.nn.Parameter]
    """The trainable parameters by name, in a fixed order."""
    scores: Callable[[MicroBatch], Tensor]
    """Scores [sequences], or [sequences, columns] if there are several, float32, of the sequences of a micro-batch,
    with gradient. The first column is the score by which responses are compared."""
    virtual_ids: tuple[int, ...] = ()
    columns: int = 1
    """Number of columns of the scores."""
    loss: Loss = preference_loss
    coupled: bool = False
    """Whether the loss of a pair depends on the other pairs of its step. All scores are then computed without gradient
    first, at the cost of another forward pass (Gao et al. 2021, arXiv 2101.06983), so that the division into
    micro-batches does not change the gradient."""
    lockstep: Lockstep | None = None
    """The passes of several processes, if the model is divided among them."""


def trainable(network: Any) -> dict[str, torch.nn.Parameter]:
    """The trainable parameters of a network, by name."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


@dataclass(frozen=True)
class _Share:
    """The pairs of a step that one process computes."""

    trainee: Trainee
    batch: Sequence[TrainingPair]
    shares: Sequence[Sequence[int]]
    """The slots of each process."""
    process: int
    step: int
    seed: int
    dtype: torch.dtype
    dropout: bool = True

    def keeps(self, length: int) -> Hashable:
        return company(self.trainee.model, length + len(self.trainee.virtual_ids))

    def apart(self, pairs: Sequence[TrainingPair]) -> bool:
        """Whether the two sequences of one of the pairs need different forward passes."""
        return any(self.keeps(len(pair.best.ids)) != self.keeps(len(pair.worse.ids)) for pair in pairs)

    @property
    def alike(self) -> bool:
        """Whether every group is one pair with a forward pass for each of its sequences: as soon as one pair of one
        process needs that, because all processes need the same number of passes."""
        return len(self.shares) > 1 and self.apart(self.batch)

    def groups(self, budget: int) -> list[tuple[list[int], float]]:
        """The slots of the pairs of each forward pass, with a factor of their loss.

        Every process has the same number of passes: those that it has too few repeat a group with the factor 0.
        """
        every = [self._groups_of(mine, budget) for mine in self.shares]
        own = every[self.process]
        spare = own[-1] if own else [self._shortest]
        return [(slots, 1.0) for slots in own] + [(spare, 0.0)] * (max(map(len, every)) - len(own))

    def _groups_of(self, mine: Sequence[int], budget: int) -> list[list[int]]:
        if self.alike:
            return [[slot] for slot in mine]
        groups = divide([self.batch[slot] for slot in mine], budget, self.trainee.model.packs, self.keeps)
        return [[mine[place] for place in group] for group in groups]

    def run(self, kind: str, body: Callable[[list[int], float], None], slots: list[int], factor: float) -> None:
        """Call `body` with slots and a factor for a pass that all processes run; `kind` is part of that of Lockstep.

        Raises torch.OutOfMemoryError in all processes if one of them runs out of memory.
        """
        lockstep = self.trainee.lockstep
        if lockstep is None:
            body(slots, factor)
            return

        def small() -> None:
            body([self._shortest], 0.0)
            forget_gradients(self.trainee)

        lockstep.run((kind, self.alike), lambda: body(slots, factor), small)

    @property
    def _shortest(self) -> int:
        return min(range(len(self.batch)), key=lambda slot: self.batch[slot].padded_tokens)

    def scores(self, slots: list[int]) -> Tensor:
        """Scores [slots, 2, columns] of the pairs in `slots`."""
        trainee, model = self.trainee, self.trainee.model
        pairs = [self.batch[slot] for slot in slots]
        apart = self.alike or self.apart(pairs)
        half = torch.autocast(model.device.type, dtype=self.dtype) if self.dtype != torch.float32 else nullcontext()
        found = []
        for micro in make_micro_batches(pairs, slots, model.device, model.packs, trainee.virtual_ids, apart):
            draw = Draw(self.seed, self.step, micro.stretches, micro.batch.ids.numel(), micro.batch.row)
            with drawing(draw if self.dropout else None), half:
                found.append(trainee.scores(micro))
        return torch.cat(found).reshape(-1, 2, trainee.columns)


def step_gradients(
    trainee: Trainee,
    batch: Sequence[TrainingPair],
    step: int,
    seed: int,
    budget: int,
    accelerator: Any,
    scaler: Any,
    dtype: torch.dtype,
) -> tuple[Tensor, int]:
    """Compute the gradient of the step's mean loss; returns scores [pairs, 2, columns], float64, and the token budget.

    Each process computes a share of the pairs; scores are summed over processes here, gradients by the backward pass of
    the divided model (sharding.py). After running out of memory, the budget is halved and all is computed again, by all
    processes.
    """
    model = trainee.model
    share = _share_of(trainee, batch, accelerator, step, seed, dtype)
    labels = torch.tensor([pair.label for pair in batch], device=model.device)
    scores = torch.zeros(len(batch), 2, trainee.columns, dtype=torch.float64, device=model.device)

    def compute(budget: int) -> None:
        # Other random numbers, for example in a model's own dropout, are the same after a restart.
        torch.manual_seed(stable_number(f"step {seed} {step}"))
        scores.zero_()
        slopes = _slopes(share, labels, budget) if trainee.coupled else None

        def one(slots: list[int], factor: float) -> None:
            found = share.scores(slots)
            if slopes is None:
                loss = trainee.loss(found, labels[slots], step).sum() / len(batch)
            else:
                loss = (found * slopes[slots]).sum()
            scaler.scale(loss if factor else loss * factor).backward()
            if factor:
                scores[slots] = found.detach().double()

        for slots, factor in share.groups(budget):
            share.run("backward", one, slots, factor)

    budget = _halving(trainee, batch, budget, compute)
    if trainee.lockstep is not None:
        trainee.lockstep.sum(scores)
    return scores.cpu(), budget


def _share_of(
    trainee: Trainee,
    pairs: Sequence[TrainingPair],
    accelerator: Any,
    step: int,
    seed: int,
    dtype: torch.dtype,
    dropout: bool = True,
) -> _Share:
    shares = share_among(accelerator.num_processes, [_size(trainee, pair) for pair in pairs])
    return _Share(trainee, pairs, shares, accelerator.process_index, step, seed, dtype, dropout)


def _size(trainee: Trainee, pair: TrainingPair) -> int:
    """Number of tokens of a forward pass of one pair."""
    return pair.packed_tokens if trainee.model.packs else 2 * pair.padded_tokens


def _halving(trainee: Trainee, pairs: Sequence[TrainingPair], budget: int, compute: Callable[[int], None]) -> int:
    """Call `compute` with a token budget and, after running out of memory, with half of it; returns the budget."""
    model = trainee.model
    longest = max(_size(trainee, pair) for pair in pairs)
    while True:
        try:
            compute(budget)
            return budget
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if budget <= longest:
                raise InputError(
                    f"out of memory on {model.device} with one pair of at most {longest} tokens; use "
                    "--gradient_checkpointing True, --dtype bfloat16, --load_in_4bit True or a smaller model"
                ) from None
            budget = max(longest, budget // 2)
        forget_gradients(trainee)
        free_cached(model.device)
        print(f"out of memory on {model.device}: continuing with --batch_tokens {budget}", file=sys.stderr)


def forget_gradients(trainee: Trainee) -> None:
    """Discard the gradients of the trainable parameters."""
    for parameter in trainee.parameters.values():
        parameter.grad = None


def score_pairs(
    trainee: Trainee,
    pairs: Sequence[TrainingPair],
    budget: int,
    accelerator: Any,
    dtype: torch.dtype,
    keep: Callable[[list[int], Tensor], None],
) -> None:
    """Score pairs without dropout and gradient, each in one of the processes, within a token budget.

    `keep` is called with indices into `pairs` and their scores [pairs, 2, columns]; again for the same pairs after
    running out of memory.
    """
    share = _share_of(trainee, pairs, accelerator, step=0, seed=0, dtype=dtype, dropout=False)

    def one(slots: list[int], factor: float) -> None:
        with torch.no_grad():
            found = share.scores(slots)
            if factor:
                keep(slots, found)

    def compute(budget: int) -> None:
        for slots, factor in share.groups(budget):
            share.run("forward", one, slots, factor)

    _halving(trainee, pairs, max(budget, *(2 * pair.padded_tokens for pair in pairs)), compute)


def all_scores(
    trainee: Trainee, pairs: Sequence[TrainingPair], budget: int, accelerator: Any, dtype: torch.dtype
) -> Tensor:
    """The scores [pairs, 2, columns], float64, of `score_pairs`, on the CPU and in every process."""
    scores = torch.zeros(len(pairs), 2, trainee.columns, dtype=torch.float64, device=trainee.model.device)

    def keep(slots: list[int], found: Tensor) -> None:
        scores[slots] = found.double()

    score_pairs(trainee, pairs, budget, accelerator, dtype, keep)
    if trainee.lockstep is not None:
        trainee.lockstep.sum(scores)
    return scores.cpu()


def _slopes(share: _Share, labels: Tensor, budget: int) -> Tensor:
    """The derivatives [pairs, 2, columns] of the step's mean loss with respect to its scores."""
    trainee = share.trainee
    scores = torch.zeros(len(share.batch), 2, trainee.columns, device=trainee.model.device)

    def one(slots: list[int], factor: float) -> None:
        with torch.no_grad():
            found = share.scores(slots).float()
            if factor:
                scores[slots] = found

    for slots, factor in share.groups(budget):
        share.run("forward", one, slots, factor)
    if trainee.lockstep is not None:
        trainee.lockstep.sum(scores)
    scores.requires_grad_(True)
    (slopes,) = torch.autograd.grad(trainee.loss(scores, labels, share.step).mean(), scores)
    return slopes
