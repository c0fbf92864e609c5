"""A model of which each process of a group has a part: of every weight, its share of the first dimension.

The weights are divided while they are read, so no process has the whole model at any time. Each one reads every tensor
from the file and keeps its part of it, as a DTensor of torch. With `whole_in_passes`, such a model runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from genies.lm.activations import blocks_of
from genies.lm.arguments import ModelArguments
from genies.lm.capability import find_decoder
from genies.lm.model import LanguageModel, checked, chosen_device, chosen_dtype, load_tokenizer, read_network
from genies.lm.plausibility import check_weights

_ONE_AFTER_THE_OTHER = "HF_DEACTIVATE_ASYNC_LOAD"
"""Variable of transformers: with 1, a tensor is read when the one before it is in the network, not ahead."""


def load_divided(folder: Path, arguments: ModelArguments) -> LanguageModel:
    """Load the model in `folder`, divided among the processes of the group; all of them must call it.

    Its network is that of transformers and runs only where weights are gathered: in `whole_in_passes`, or after
    `fully_shard`. Raises InputError as `load_model` does.
    """
    check_weights(folder)
    device = chosen_device(arguments.device)
    dtype = chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    tokenizer = load_tokenizer(folder)
    with reading_parts(device):
        network = read_network(folder, dtype, {})
    move_rest(network, device)
    with whole_in_passes(network, find_decoder(network)):
        return checked(network, tokenizer, folder, device, dtype)


def mesh_of(device: torch.device) -> Any:
    """The mesh of all processes of the group."""
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device.type, (get_world_size(),))


def is_divided(tensor: Any) -> bool:
    """Whether this process has only a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor, on the device of its part if it is divided; all processes must call it."""
    divided: Any = tensor
    if not is_divided(divided):
        return tensor
    from torch.distributed import broadcast
    from torch.distributed.tensor import Shard

    if divided.placements != (Shard(0),):
        found: Tensor = divided.full_tensor()
        return found
    # Not gathered, because on a CPU that takes twice the memory of the tensor.
    mesh, own = divided.device_mesh, divided.to_local()
    found = own.new_empty(divided.shape)
    for rank, part in enumerate(found.chunk(mesh.size())):
        if rank == mesh.get_local_rank():
            part.copy_(own)
        broadcast(part, rank, group=mesh.get_group())
    return found


def part_of(value: Tensor, like: Any) -> Tensor:
    """A whole tensor, divided as `like` and on its device; `value` must be the same in all processes."""
    if not is_divided(like):
        return value.to(like.device)
    return _divided(value, like.device_mesh, like.device)


def _divided(value: Tensor, mesh: Any, device: torch.device) -> Tensor:
    from torch.distributed.tensor import DTensor, Shard

    parts = value.chunk(mesh.size())
    rank = mesh.get_local_rank()
    own = parts[rank] if rank < len(parts) else value[:0]
    # A copy, because a part of a tensor would keep the memory of the whole one.
    own = own.to(device, copy=True, memory_format=torch.contiguous_format)
    stride = torch.empty(value.shape, device="meta").stride()
    return DTensor.from_local(own, mesh, [Shard(0)], run_check=False, shape=value.shape, stride=stride)


@contextmanager
def reading_parts(device: torch.device) -> Iterator[None]:
    """Within the context, this process keeps only its part, on `device`, of each weight that a network gets.

    Parts of numbers that are no weights (integers, single values) are whole, and so are buffers.
    """
    mesh = mesh_of(device)

    def keep_part(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if parameter.is_meta or is_divided(parameter) or not parameter.is_floating_point() or parameter.dim() == 0:
            return None
        part = nn.Parameter(_divided(parameter.detach(), mesh, device), requires_grad=parameter.requires_grad)
        part.__dict__.update(parameter.__dict__)  # transformers marks weights that it has read
        return part

    before = os.environ.get(_ONE_AFTER_THE_OTHER)
    os.environ[_ONE_AFTER_THE_OTHER] = "1"
    hook = register_module_parameter_registration_hook(keep_part)  # type: ignore[arg-type] # it may return a parameter
    try:
        yield
    finally:
        hook.remove()
        if before is None:
            del os.environ[_ONE_AFTER_THE_OTHER]
        else:
            os.environ[_ONE_AFTER_THE_OTHER] = before


def move_rest(network: nn.Module, device: torch.device) -> None:
    """Move what is not divided to a device."""
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, each in tensors.items():
                if each is not None and not is_divided(each):
                    tensors[name] = each.to(device)  # type: ignore[assignment]


@contextmanager
def whole_in_passes(network: nn.Module, decoder: Any) -> Iterator[None]:
    """Within the context, the weights of a block are whole in its forward pass, and all others the whole time.

    All processes must run the same passes.
    """
    blocks = separate_blocks(decoder)
    inside = {id(module) for block in blocks for module in block.modules()}
    hooks = []
    taken: dict[int, list[_Place]] = {}

    def gather(block: nn.Module, _inputs: Any) -> None:
        taken[id(block)] = _gather(block.modules())

    def free(block: nn.Module, _inputs: Any, _outputs: Any) -> None:
        _put_back(taken.pop(id(block), []))

    outside = _gather(module for module in network.modules() if id(module) not in inside)
    try:
        for block in blocks:
            hooks.append(block.register_forward_pre_hook(gather))
            hooks.append(block.register_forward_hook(free, always_call=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for places in (outside, *taken.values()):
            _put_back(places)


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Within the context, the weights of a module are whole; all processes must enter it."""
    places = _gather(module.modules())
    try:
        yield
    finally:
        _put_back(places)


_Place = tuple[nn.Module, str, nn.Parameter]


def _gather(modules: Iterable[nn.Module]) -> list[_Place]:
    """Make the weights of modules whole; returns where the parts were."""
    found: dict[int, nn.Parameter] = {}
    places = []
    for module in modules:
        for name, part in module._parameters.items():
            if part is not None and is_divided(part):
                if id(part) not in found:
                    with torch.inference_mode(False):  # a part is none of its tensors
                        found[id(part)] = nn.Parameter(whole(part.detach()), requires_grad=False)
                places.append((module, name, part))
                module._parameters[name] = found[id(part)]
    return places


def _put_back(places: Iterable[_Place]) -> None:
    for module, name, part in places:
        module._parameters[name] = part


def separate_blocks(decoder: Any) -> list[nn.Module]:
    """The blocks, or none if some share weights: these have to be gathered together."""
    blocks = list(blocks_of(decoder))
    parameters = [id(each) for block in blocks for each in block.parameters()]
    return blocks if len(parameters) == len(set(parameters)) else []
