"""Last-token activations, read through hooks: hidden states after blocks, and the input of each attention head's
share of the output projection.

Only wanted positions are kept, no language-model head is run, and nothing after the deepest wanted block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.lm.forward import Batch, call, run_batches
from genies.lm.model import LanguageModel
from genies.lm.sites import Site, SiteKind


def all_sites(model: LanguageModel, kind: SiteKind) -> list[Site]:
    """Every attention head, or every block, of a model, in order."""
    blocks = range(len(find_blocks(model)))
    if kind == "blocks":
        return [Site(block) for block in blocks]
    return [Site(block, head) for block in blocks for head in range(head_count(model))]


def last_token_activations(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    sites: Sequence[Site],
    batch_tokens: int | None = None,
    label: str = "reading activations",
) -> NDArray[np.float32]:
    """Activations [sequences, sites, width] at the last token of each sequence.

    Sites are of one kind: width is the head width for heads, the hidden size for blocks.
    """
    if not sites:
        raise ValueError("no sites to read")
    of_heads = sites[0].head is not None
    if any((site.head is not None) != of_heads for site in sites):
        raise ValueError("sites of both kinds cannot be read into one array")
    blocks = find_blocks(model)
    heads = head_count(model)
    wanted = sorted({site.block for site in sites})
    columns = {
        block: [(column, site.head or 0) for column, site in enumerate(sites) if site.block == block]
        for block in wanted
    }
    result: NDArray[np.float32] | None = None

    def read(batch: Batch) -> None:
        nonlocal result
        last = torch.tensor([places[-1] for places in batch.places], device=model.device)
        found = _read_blocks(model, batch, [blocks[block] for block in wanted], of_heads, last)
        for block, values in zip(wanted, found, strict=True):
            # [sequences, heads, width], one "head" where hidden states are read
            split = values.float().unflatten(-1, (heads if of_heads else 1, -1)).cpu().numpy()
            if result is None:
                result = np.zeros((len(sequences), len(sites), split.shape[-1]), dtype=np.float32)
            for column, head in columns[block]:
                result[batch.sequences, column] = split[:, head]

    run_batches(model, sequences, read, batch_tokens, label)
    if result is None:
        raise ValueError("no sequences to read")
    return result


class _Deepest(Exception):
    """Leaves the forward pass once the deepest wanted activation is there."""


def _read_blocks(
    model: LanguageModel, batch: Batch, blocks: Sequence[Any], of_heads: bool, places: Tensor
) -> list[Tensor]:
    found: dict[int, Tensor] = {}

    def keep(place: int, values: Tensor) -> None:
        found[place] = values.flatten(0, 1)[places]
        if place == len(blocks) - 1:
            raise _Deepest

    hooks = []
    for place, block in enumerate(blocks):
        if of_heads:
            hooks.append(
                find_output_projection(block).register_forward_pre_hook(
                    lambda _module, inputs, place=place: keep(place, inputs[0])
                )
            )
        else:
            hooks.append(
                block.register_forward_hook(
                    lambda _module, _inputs, output, place=place: keep(
                        place, output[0] if isinstance(output, tuple) else output
                    )
                )
            )
    try:
        call(model, model.decoder, batch)
    except _Deepest:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return [found[place] for place in range(len(blocks))]


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


def head_count(model: LanguageModel) -> int:
    """Number of attention (query) heads in a block."""
    return int(model.decoder.config.num_attention_heads)
