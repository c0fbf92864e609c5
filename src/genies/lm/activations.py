"""Read last-token activations with hooks: hidden states after blocks, and the input of the attention output projection
for each head.

Only the requested positions are kept. The forward pass ends after the deepest requested layer, so the language-model
head is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.lm.activation_store import LayerArrays, at_sites
from genies.lm.forward import DEFAULT_BATCH_TOKENS, Batch, call, run_batches
from genies.lm.model import LanguageModel
from genies.lm.shared_prefix import beginning_once
from genies.lm.sites import Layer, Site, all_layers

LayerValues = dict[Layer, Tensor]
"""For each layer, activations [sequences, sites of the layer, width] on the CPU, in the number format in which the
model computes them; see LayerArrays."""

LEAST_BEGINNING = 32
"""A prefix that all sequences share is computed once instead of in every row if it has at least so many tokens."""


def read_layers(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    layers: Sequence[Layer],
    keep: Callable[[list[int], LayerValues], None],
    batch_tokens: int | None = None,
    label: str = "reading activations",
) -> int:
    """Read last-token activations at all sites of `layers`; returns the number of tokens in the forward passes.

    `keep` is called after each forward pass with the indices of its sequences and their activations in that order.
    """
    ordered = sorted(set(layers), key=lambda layer: (layer.block, layer.kind == "blocks"))
    if not ordered:
        raise ValueError("no layers to read")
    modules = find_blocks(model)
    hooked = [
        (layer, find_output_projection(modules[layer.block]) if layer.kind == "heads" else modules[layer.block])
        for layer in ordered
    ]
    counts = count_heads(model.decoder)

    def read(batch: Batch) -> None:
        last = torch.tensor([places[-1] for places in batch.places], device=model.device)
        found = read_batch(model, batch, hooked, last)
        values = {
            layer: each.unflatten(-1, (counts[layer.block] if layer.kind == "heads" else 1, -1)).cpu()
            for layer, each in zip(ordered, found, strict=True)
        }
        keep(batch.sequences, values)

    # Without this, a shared prefix is computed again in every row. With a single row there is nothing to gain.
    fits = sum(map(len, sequences)) <= (batch_tokens or DEFAULT_BATCH_TOKENS[model.device.type])
    most = 0 if fits else min(map(len, sequences)) - 1
    with beginning_once(model, sequences, most, LEAST_BEGINNING) as shared:
        rest = [sequence[shared:] for sequence in sequences] if shared else sequences
        return shared + run_batches(model, rest, read, batch_tokens, label)


def last_token_activations(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    sites: Sequence[Site],
    batch_tokens: int | None = None,
    label: str = "reading activations",
) -> NDArray[np.float32]:
    """Activations [sequences, sites, width] at the last token of each sequence; all sites must be of one kind."""
    if not sequences:
        raise ValueError("no sequences to read")
    parts: dict[int, NDArray[np.float32]] = {}

    def keep(indices: list[int], values: LayerValues) -> None:
        parts.update(zip(indices, at_sites(as_arrays(values, sites), sites), strict=True))

    read_layers(model, sequences, [site.layer for site in sites], keep, batch_tokens, label)
    return np.stack([parts[index] for index in range(len(sequences))])


def as_arrays(values: LayerValues, sites: Sequence[Site]) -> LayerArrays:
    """The layers of `sites` as numpy arrays in float32, in which every number format is exact."""
    return {layer: values[layer].float().numpy() for layer in {site.layer for site in sites}}


class _Deepest(Exception):
    """Raised to end the forward pass after the deepest requested activation."""


def read_batch(
    model: LanguageModel, batch: Batch, hooked: Sequence[tuple[Layer, torch.nn.Module]], places: Tensor
) -> list[Tensor]:
    """For each layer, the input (heads) or output (blocks) of its module at `places` of the flattened batch.

    The layers must be in the order in which the network computes them.
    """
    found: dict[int, Tensor] = {}

    entered: list[int] = []

    def enter(place: int) -> Callable[[Any, Any], None]:
        return lambda _module, _inputs: entered.append(place)

    active = getattr(model.decoder.config, "altup_active_idx", 0)

    def keep(number: int, values: Tensor) -> None:
        if values.dim() == 4:
            # Gemma 3n computes several versions [versions, rows, tokens, width] of a hidden state in its blocks.
            # Attention and MLP use one of them; the others are predicted from it.
            values = values[active]
        found[number] = values.flatten(0, 1)[places.to(values.device)]
        if number == len(hooked) - 1:
            raise _Deepest

    def hook(number: int, layer: Layer, module: torch.nn.Module) -> Any:
        if layer.kind == "heads":
            # Blocks that share an attention module run the same module, so the hook checks which block is running.
            return module.register_forward_pre_hook(
                lambda _module, inputs: keep(number, inputs[0]) if entered[-1] == layer.block else None
            )
        return module.register_forward_hook(
            lambda _module, _inputs, output: keep(number, output[0] if isinstance(output, tuple | list) else output)
        )

    hooks = [hook(number, layer, module) for number, (layer, module) in enumerate(hooked)]
    hooks += [block.register_forward_pre_hook(enter(place)) for place, block in enumerate(find_blocks(model))]
    try:
        call(model, model.decoder, batch)
    except _Deepest:
        pass
    finally:
        for each in hooks:
            each.remove()
    return [found[number] for number in range(len(hooked))]


def readable_layers(model: LanguageModel) -> list[Layer]:
    """Every layer of a model that can be read; blocks without attention have no heads."""
    counts = count_heads(model.decoder)
    return [layer for layer in all_layers(len(counts)) if layer.kind == "blocks" or counts[layer.block]]


def find_blocks(model: LanguageModel) -> Any:
    """The decoder's blocks in order: the module list whose length is the depth given in the config."""
    return blocks_of(model.decoder)


def blocks_of(decoder: Any) -> Any:
    """The blocks of a decoder; see find_blocks."""
    depth = decoder.config.num_hidden_layers
    for module in decoder.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth:
            return module
    raise InputError(
        f"{type(decoder).__name__} has no module list of {depth} blocks, as its config says; its activations cannot be "
        "read"
    )


def count_heads(decoder: Any) -> list[int]:
    """The number of readable attention heads in each block; 0 in blocks without attention."""
    return [_heads_of(decoder.config, place, block) for place, block in enumerate(blocks_of(decoder))]


def head_input_width(block: Any) -> int:
    """Width of the concatenated heads of a block's attention."""
    projection: Any = find_output_projection(block)
    # Conv1D (GPT-2) stores its weight transposed.
    return int(getattr(projection, "in_features", None) or projection.weight.shape[0])


def _heads_of(config: Any, place: int, block: Any) -> int:
    found = _find_attention(block)
    if found is None:
        return 0
    attention, _ = found
    named = (getattr(attention, name, None) for name in ("num_heads", "num_attention_heads", "n_heads", "n_head"))
    heads = next((each for each in named if isinstance(each, int) and each > 0), None)
    if heads is None:
        # If blocks differ, each has its own configuration (Gemma 4).
        own = config.per_layer_config[place] if getattr(config, "per_layer_attributes", None) else config
        heads = int(getattr(own, "num_attention_heads", None) or 0)
    return heads if heads and head_input_width(block) % heads == 0 else 0


_PROJECTIONS = ("o_proj", "dense", "c_proj", "out_proj", "wo", "Wo")
_ATTENTIONS = {
    "self_attn": _PROJECTIONS,
    "attention": _PROJECTIONS,
    "attn": _PROJECTIONS,
    "self_attention": _PROJECTIONS,
    # Attention, or another token mixer whose projection has another name (Nemotron-H, RecurrentGemma).
    "mixer": ("o_proj",),
    "temporal_block": ("o_proj",),
}
"""For each name of a block's attention module, the names of its output projection."""


def find_output_projection(block: Any) -> torch.nn.Module:
    """The module in a block that maps the concatenated attention heads to the hidden size."""
    found = _find_attention(block)
    if found is None:
        raise InputError(
            f"no attention output projection in {type(block).__name__}; expected one of "
            f"{', '.join(_PROJECTIONS)} in one of {', '.join(_ATTENTIONS)}"
        )
    return found[1]


def _find_attention(block: Any) -> tuple[Any, torch.nn.Module] | None:
    """A block's attention module and its output projection; None if it has none."""
    # Blocks of Zamba share one attention module.
    holder = next(
        (getattr(block, name) for name in ("shared_transformer", "shared_transf") if hasattr(block, name)), block
    )
    for outer, names in _ATTENTIONS.items():
        attention = getattr(holder, outer, None)
        while attention is not None:
            for name in names:
                projection = getattr(attention, name, None)
                if isinstance(projection, torch.nn.Module):
                    return attention, projection
            # Some models wrap the attention module in another one of the same name.
            attention = next((getattr(attention, name) for name in _ATTENTIONS if hasattr(attention, name)), None)
    return None
