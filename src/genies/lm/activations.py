"""Last-token activations, read through hooks: hidden states after blocks, and the input of each attention head's
share of the output projection.

Only wanted positions are kept, no language-model head is run, and nothing after the deepest wanted layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.lm.forward import DEFAULT_BATCH_TOKENS, Batch, call, run_batches
from genies.lm.model import LanguageModel
from genies.lm.shared_prefix import beginning_once
from genies.lm.sites import Layer, Site, all_layers

LayerValues = dict[Layer, Tensor]
"""For each layer activations [sequences, sites of the layer, width], on the CPU, in the number format in which the
model computes them: width is the head width for heads, the hidden size for blocks, which have one site."""

LEAST_BEGINNING = 32
"""A beginning that all sequences share is computed once, instead of in every row, when it has so many tokens."""


def read_layers(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    layers: Sequence[Layer],
    keep: Callable[[list[int], LayerValues], None],
    batch_tokens: int | None = None,
    label: str = "reading activations",
) -> int:
    """Last-token activations at all sites of `layers`; the number of tokens that went through the model.

    `keep` is called after each forward pass with the indices of its sequences, and their activations in that order.
    """
    ordered = sorted(set(layers), key=lambda layer: (layer.block, layer.kind == "blocks"))
    if not ordered:
        raise ValueError("no layers to read")
    modules = find_blocks(model)
    hooked = [
        (layer, find_output_projection(modules[layer.block]) if layer.kind == "heads" else modules[layer.block])
        for layer in ordered
    ]
    heads = getattr(model.decoder.config, "num_attention_heads", 0)

    def read(batch: Batch) -> None:
        last = torch.tensor([places[-1] for places in batch.places], device=model.device)
        found = _read_batch(model, batch, hooked, last)
        values = {
            layer: each.unflatten(-1, (heads if layer.kind == "heads" else 1, -1)).cpu()
            for layer, each in zip(ordered, found, strict=True)
        }
        keep(batch.sequences, values)

    # A beginning is computed again in every row; where all fits into one, nothing is gained.
    fits = sum(map(len, sequences)) <= (batch_tokens or DEFAULT_BATCH_TOKENS[model.device.type])
    most = 0 if fits else min(map(len, sequences)) - 1
    with beginning_once(model, sequences, most, LEAST_BEGINNING) as shared:
        rest = [sequence[shared:] for sequence in sequences] if shared else sequences
        return shared + run_batches(model, rest, read, batch_tokens, label)


def last_token_activations(
    model: LanguageModel, sequences: Sequence[Sequence[int]], sites: Sequence[Site], batch_tokens: int | None = None
) -> NDArray[np.float32]:
    """Activations [sequences, sites, width] at the last token of each sequence; the sites are of one kind."""
    if not sequences:
        raise ValueError("no sequences to read")
    parts: dict[int, NDArray[np.float32]] = {}

    def keep(indices: list[int], values: LayerValues) -> None:
        parts.update(zip(indices, at_sites(values, sites), strict=True))

    read_layers(model, sequences, [site.layer for site in sites], keep, batch_tokens)
    return np.stack([parts[index] for index in range(len(sequences))])


def at_sites(values: LayerValues, sites: Sequence[Site]) -> NDArray[np.float32]:
    """Activations [sequences, sites, width] out of those of whole layers; the sites are of one kind."""
    if len({site.layer.kind for site in sites}) != 1:
        raise ValueError("expected sites of one kind: heads and blocks cannot be read into one array")
    chosen: NDArray[np.float32] = (
        torch.stack([values[site.layer][:, site.head or 0] for site in sites], 1).float().numpy()
    )
    return chosen


class _Deepest(Exception):
    """Leaves the forward pass once the deepest wanted activation is there."""


def _read_batch(
    model: LanguageModel, batch: Batch, hooked: Sequence[tuple[Layer, torch.nn.Module]], places: Tensor
) -> list[Tensor]:
    """For each layer what its module is given (heads) or gives (blocks) at `places` of the flattened batch."""
    found: dict[int, Tensor] = {}

    def keep(number: int, values: Tensor) -> None:
        found[number] = values.flatten(0, 1)[places.to(values.device)]
        if number == len(hooked) - 1:
            raise _Deepest

    def hook(number: int, layer: Layer, module: torch.nn.Module) -> Any:
        if layer.kind == "heads":
            return module.register_forward_pre_hook(lambda _module, inputs: keep(number, inputs[0]))
        return module.register_forward_hook(
            lambda _module, _inputs, output: keep(number, output[0] if isinstance(output, tuple | list) else output)
        )

    hooks = [hook(number, layer, module) for number, (layer, module) in enumerate(hooked)]
    try:
        call(model, model.decoder, batch)
    except _Deepest:
        pass
    finally:
        for each in hooks:
            each.remove()
    return [found[number] for number in range(len(hooked))]


def readable_layers(model: LanguageModel) -> list[Layer]:
    """Every layer of a model that can be read: blocks of another kind than attention have no heads."""
    blocks = find_blocks(model)

    def readable(layer: Layer) -> bool:
        if layer.kind == "blocks":
            return True
        try:
            find_output_projection(blocks[layer.block])
        except InputError:
            return False
        return True

    return [layer for layer in all_layers(len(blocks)) if readable(layer)]


def find_blocks(model: LanguageModel) -> Any:
    """The decoder's blocks, in order: the module list as long as the config says the model is deep."""
    depth = model.decoder.config.num_hidden_layers
    for module in model.decoder.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth:
            return module
    raise InputError(f"no list of {depth} blocks in {type(model.decoder).__name__}; its activations cannot be read")


_ATTENTIONS = ("self_attn", "attention", "attn", "self_attention")
_PROJECTIONS = ("o_proj", "dense", "c_proj", "out_proj", "wo", "Wo")


def find_output_projection(block: Any) -> torch.nn.Module:
    """The module in a block that maps the concatenated heads of attention to the hidden size."""
    for outer in _ATTENTIONS:
        attention = getattr(block, outer, None)
        while attention is not None:
            for name in _PROJECTIONS:
                projection = getattr(attention, name, None)
                if isinstance(projection, torch.nn.Module):
                    return projection
            # Some models wrap attention in a module of the same name.
            attention = next((getattr(attention, name) for name in _ATTENTIONS if hasattr(attention, name)), None)
    raise InputError(
        f"no attention output projection in {type(block).__name__}; expected one of "
        f"{', '.join(_PROJECTIONS)} in one of {', '.join(_ATTENTIONS)}"
    )
