"""Which linear layers low-rank adapters leave out, of those that PEFT's "all-linear" finds."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from genies.lm.capability import find_decoder
from genies.methods.training.reward_model import HEADS


def excluded_modules(network: Any) -> str | None:
    """A regular expression of the names of modules that get no adapter; None where all may have one.

    These are the parts beside the decoder, as an encoder of images, which text does not pass through; routers that
    give more than one tensor (Phi-MoE, Llama 4), which PEFT cannot add to; and layers that no gradient comes through:
    projections of state-space layers whose weight is multiplied past the adapter, also in fused kernels, and indexers
    of sparse attention, which choose tokens.
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
    """Whether no gradient would come to the adapter of a linear layer, by its name and the module it is part of."""
    if hasattr(layer, "A_log"):  # a state-space layer
        return name.endswith((".out_proj", ".dt_proj"))
    return hasattr(layer, "index_topk") and name.split(".")[-2] == "indexer"


@torch.no_grad()
def _gives_tensor(module: Any) -> bool:
    """Whether a linear layer gives one tensor, as a linear layer does."""
    if type(module).forward is nn.Linear.forward:
        return True
    given = torch.zeros(1, module.in_features, dtype=module.weight.dtype, device=module.weight.device)
    return isinstance(module(given), torch.Tensor)
