"""Size of one text's activations in the activation cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def activation_bytes(config: Mapping[str, Any], value_bytes: int) -> int | None:
    """Bytes of one text's last-token activations at every attention head and after every block.

    `config` is the content of the model's config.json. `value_bytes` is the size of one number: 4 for float32, 2 for
    bfloat16. None if the config does not contain the model's dimensions.

    >>> llama_7b = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
    >>> activation_bytes(llama_7b, 2)
    524288
    """

    def number(*names: str) -> int | None:
        return next((value for name in names if isinstance(value := config.get(name), int)), None)

    depth, width = number("num_hidden_layers", "n_layer"), number("hidden_size", "n_embd")
    heads, head_width = number("num_attention_heads", "n_head"), number("head_dim")
    if depth is None or width is None or heads is None:
        return None
    return depth * ((width if head_width is None else heads * head_width) + width) * value_bytes
