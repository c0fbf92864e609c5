"""Select the linear layers found by PEFT's "all-linear" that get no low-rank adapter."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from genies.lm.capability import find_decoder
from genies.methods.training.reward_model import HEADS


def excluded_modules(network: Any) -> str | None:
    """A regular expression for the names of modules that get no adapter; None if all may have one.

    Excluded are modules outside of the decoder that do not process text, such as image encoders; routers that return
    more than one tensor, to which PEFT cannot add an adapter (Phi-MoE, Llama 4); and layers whose adapter would get no
    gradient: projections of state-space layers whose weight is used directly, for example in fused kernels, and
    indexers of sparse attention, which select tokens.
    """
    decoder = find_decoder(network)
    path = next(name for name, module in network.named_modules() if module is decoder)
    around = {"", *(path[: dot.start()] for dot in re.finditer(r"\.", path)), path}
    heads = {id(network.get_output_embeddings()), *(id(getattr(network, name, None)) for name in HEADS)}
    found: dict[str, None] = {}
    for name, module in network.named_modules():
        outer = name.rpartition(".")[0]
        if name not in around and outer in around - {path} and id(module) not in heads:
            if any(isinstance(each, nn.Linear) for each in module.modules()):
                found[rf"{re.escape(name)}(\..*)?"] = None
        elif (
            name.startswith(f"{path}.")
            and isinstance(module, nn.Linear)
            and (not _gives_tensor(module) or _without_gradient(name, network.get_submodule(outer)))
        ):
            found[re.sub(r"\d+", r"\\d+", re.escape(name))] = None  # the same in every block
    return "|".join(found) or None


def _without_gradient(name: str, layer: nn.Module) -> bool:
    """Whether an adapter of a linear layer would get no gradient, by the layer's name and its parent module."""
    if hasattr(layer, "A_log"):  # a state-space layer
        return name.endswith((".out_proj", ".dt_proj"))
    return hasattr(layer, "index_topk") and name.split(".")[-2] == "indexer"


@torch.no_grad()
def _gives_tensor(module: Any) -> bool:
    """Whether a subclass of linear layer returns a single tensor, like a linear layer."""
    if type(module).forward is nn.Linear.forward:
        return True
    given = torch.zeros(1, module.in_features, dtype=module.weight.dtype, device=module.weight.device)
    return isinstance(module(given), torch.Tensor)
