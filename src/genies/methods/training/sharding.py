"""Divide a model among the processes that train it: its weights, their gradients and the optimizer's state.

The method is fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277; Rajbhandari et al. 2020, arXiv
1910.02054, stage 3) with torch's `fully_shard`. Each process keeps a part of every weight. The weights of a block are
gathered for its forward and its backward pass, and its gradients are summed over processes into the parts. So all
processes must run the same number of forward and backward passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from genies.errors import InputError
from genies.lm.activations import blocks_of
from genies.lm.capability import is_out_of_memory
from genies.lm.model import LanguageModel
from genies.methods.training.gradients import Trainee
from genies.methods.training.micro_batches import MicroBatch


class _Scorer(nn.Module):
    """A scoring function as a module: around its call, torch gathers and frees the weights outside of blocks."""

    def __init__(self, network: nn.Module, scores: Callable[[MicroBatch], Tensor]) -> None:
        super().__init__()
        self.network = network
        self._scores = scores

    def forward(self, micro: MicroBatch) -> Tensor:
        return self._scores(micro)


@contextmanager
def sharded(trainee: Trainee, accelerator: Any) -> Iterator[Trainee]:
    """Within the context, the trainee's model is divided among the processes; with one process, nothing changes.

    Yields the trainee to tune. Afterwards, the tuned weights are whole again in the main process, in its main memory
    and in the parameters of the given trainee; there are no others, and frozen weights stay divided.
    """
    if accelerator.num_processes == 1:
        yield trainee
        return
    scorer = _Scorer(trainee.model.network, trainee.scores)
    places = {id(parameter): name for name, parameter in scorer.named_parameters(remove_duplicate=False)}
    originals = {name: (parameter, places[id(parameter)]) for name, parameter in trainee.parameters.items()}
    _shard(scorer, trainee.model, accelerator.num_processes)
    for original, _ in originals.values():
        original.data = original.data.new_empty(0)
    now = dict(scorer.named_parameters(remove_duplicate=False))
    parameters = {name: now[place] for name, (_, place) in originals.items()}
    yield replace(trainee, scores=scorer, parameters=parameters)
    for name, (original, _) in originals.items():
        value = whole(parameters[name].detach())
        if accelerator.is_main_process:
            original.data = value.cpu()
            _put_back(scorer, parameters[name], original)


def _shard(scorer: _Scorer, model: LanguageModel, processes: int) -> None:
    """Divide the scorer's parameters: those of each block together, and the others together.

    Each part is moved to the model's device when it has been divided, so the whole model need not fit there.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(model.device.type, (processes,))
    # Weights in 4 bits are packed integers, which cannot be divided: they stay whole in every process.
    packed = {parameter for parameter in scorer.parameters() if not parameter.is_floating_point()}
    for part in (*_separate_blocks(model.decoder), scorer):
        module: Any = fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=packed)
        # The loss of a step is a mean over all its pairs, so gradients are added, not averaged.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    scorer.set_reduce_scatter_unused_params(True)  # type: ignore[operator] # an expert without a token in one process


def _separate_blocks(decoder: Any) -> list[nn.Module]:
    """The blocks, or none if some share weights: these would have to be gathered together."""
    blocks = list(blocks_of(decoder))
    parameters = [id(each) for block in blocks for each in block.parameters()]
    return blocks if len(parameters) == len(set(parameters)) else []


def _put_back(scorer: nn.Module, part: nn.Parameter, original: nn.Parameter) -> None:
    """Replace the part of a parameter by the whole one wherever modules have it."""
    for module in scorer.modules():
        for name, parameter in module._parameters.items():
            if parameter is part:
                module._parameters[name] = original


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor, on the device of its part if it is divided; all processes must call it."""
    gathered: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, divided as `like` and on its device; `value` must be the same in all processes."""
    value = value.to(like.device)
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def on_device(model: LanguageModel) -> Iterator[None]:
    """Within the context, a model that was loaded to be divided is whole on its device.

    Raises InputError if it does not fit there.
    """
    tensors = itertools.chain(model.network.parameters(), model.network.buffers())
    away = {each.device for each in tensors if each.device.type != model.device.type}
    if not away:
        yield
        return
    try:
        model.network.to(model.device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"the weights in {model.folder} do not fit on one device, and this intervention scores with the whole "
            "untuned model before training; use a smaller model, --load_in_4bit True, or lora_fine_tune"
        ) from None
    try:
        yield
    finally:
        model.network.to(away.pop())
