"""How much disk the activations of one text take in the store of activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def activation_bytes(config: Mapping[str, Any], value_bytes: int) -> int | None:
    """Bytes of one text's last-token activations at every attention head and after every block.

    `config` is the model's config.json, `value_bytes` the size of a number as the model computes it (4 for float32,
    2 for bfloat16). None where the config does not say how large the model is.

    >>> llama_7b = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
    >>> activation_bytes(llama_7b, 2)
    524288
    """
    names = (("num_hidden_layers", "n_layer"), ("hidden_size", "n_embd"), ("num_attention_heads", "n_head"))
    found = [next((config[name] for name in pair if isinstance(config.get(name), int)), None) for pair in names]
    depth, width, heads = found
    if depth is None or width is None or not heads:
        return None
    head_width = config.get("head_dim")
    of_heads = heads * head_width if isinstance(head_width, int) else width
    return depth * (of_heads + width) * value_bytes
