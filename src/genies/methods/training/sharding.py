"""Divide a model among the processes that train it: its weights, their gradients and the optimizer's state.

The method is fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277; Rajbhandari et al. 2020, arXiv
1910.02054, stage 3) with torch's `fully_shard`. Each process keeps a part of every weight. The weights of a block are
gathered for its forward and its backward pass, and its gradients are summed over processes into the parts. So all
processes must run the same number of forward and backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genies.lm.divided import is_divided, mesh_of, separate_blocks, whole
from genies.lm.model import LanguageModel
from genies.methods.training.gradients import Trainee
from genies.methods.training.lockstep import Lockstep
from genies.methods.training.micro_batches import MicroBatch

T = TypeVar("T")


class _Root(nn.Module):
    """A network whose call is that of a function: around it, torch gathers and frees the weights outside of blocks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)


@contextmanager
def sharded(trainee: Trainee, accelerator: Any) -> Iterator[Trainee]:
    """Within the context, the trainee's model is divided among the processes; with one process, nothing changes.

    Yields the trainee to tune. Afterwards, the tuned weights are whole again in the main process, in its main memory:
    in the modules of the model and in the parameters of the given trainee. There are no others, and frozen weights stay
    divided.
    """
    if accelerator.num_processes == 1:
        yield trainee
        return
    root = _Root(trainee.model.network)
    places = {id(parameter): name for name, parameter in root.named_parameters(remove_duplicate=False)}
    originals = {name: (parameter, places[id(parameter)]) for name, parameter in trainee.parameters.items()}
    _shard(root, trainee.model)
    for original, _ in originals.values():
        if not is_divided(original):
            original.data = original.data.new_empty(0)
    now = dict(root.named_parameters(remove_duplicate=False))
    parameters = {name: now[place] for name, (_, place) in originals.items()}
    lockstep = Lockstep(root, trainee.model.device, accelerator.num_processes)
    yield scoring(replace(trainee, parameters=parameters, lockstep=lockstep), trainee.scores)
    for name, (original, _) in originals.items():
        value = whole(parameters[name].detach())
        if accelerator.is_main_process:
            if is_divided(original):
                original = nn.Parameter(value.cpu(), original.requires_grad)
            else:
                original.data = value.cpu()
            _put_back(root, parameters[name], original)
            trainee.parameters[name] = original


def scoring(trainee: Trainee, scores: Callable[[MicroBatch], Tensor], columns: int | None = None) -> Trainee:
    """The trainee, divided or not, with another scoring function."""
    if trainee.lockstep is not None:
        scores = partial(trainee.lockstep.call, scores)
    return replace(trainee, scores=scores, columns=columns or trainee.columns)


def _shard(root: _Root, model: LanguageModel) -> None:
    """Divide the parameters: those of each block together, and the others together.

    Those that were divided when the model was loaded keep their parts.
    """
    from torch.distributed.fsdp import fully_shard

    mesh = mesh_of(model.device)
    # Weights in 4 bits are packed integers, which cannot be divided: they stay whole in every process.
    packed = {parameter for parameter in root.parameters() if not parameter.is_floating_point()}
    parts = _without_parts(root)
    for part in (*separate_blocks(model.decoder), root):
        module: Any = fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=packed)
        # The loss of a step is a mean over all its pairs, so gradients are added, not averaged.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    root.set_reduce_scatter_unused_params(True)  # type: ignore[operator] # an expert without a token in one process
    for owner, name, parameter in parts:
        owner._parameters[name] = parameter


def _without_parts(root: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Put parameters without values in the place of divided ones, because `fully_shard` divides whole ones; returns
    the divided ones and where they were."""
    empty: dict[int, nn.Parameter] = {}
    places = []
    for module in root.modules():
        for name, part in module._parameters.items():
            if part is not None and is_divided(part):
                like = torch.empty(part.shape, dtype=part.dtype, device="meta")
                module._parameters[name] = empty.setdefault(id(part), nn.Parameter(like, part.requires_grad))
                places.append((module, name, part))
    return places


def _put_back(root: nn.Module, part: nn.Parameter, original: nn.Parameter) -> None:
    """Replace the part of a parameter by the whole one wherever modules have it."""
    for module in root.modules():
        for name, parameter in module._parameters.items():
            if parameter is part:
                module._parameters[name] = original
