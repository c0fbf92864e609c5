"""Packed rows for families whose attention has code of its own in transformers instead of its attention interface.

Within `attending(row)`, the attention modules of a network that was given to `use_rows` compute attention over the row;
outside of it, they run the code of transformers. Their sums and products are those of transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from genies.lm import attention


def use_rows(network: Any) -> None:
    """Let the attention modules of a network compute packed rows, if their family has code of its own."""
    for module in network.modules():
        found = _METHODS.get(type(module).__name__)
        if found is not None:
            name, method = found
            setattr(module, name, MethodType(_in_rows(name, method), module))


def _in_rows(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(module: Any, *positional: Any, **named: Any) -> Any:
        if attention.is_attending():
            return method(module, *positional, **named)
        return getattr(type(module), name)(module, *positional, **named)

    return chosen


@dataclass(frozen=True)
class _Alibi:
    """The biases [heads, length] of the keys of one sequence, as transformers builds them for a family."""

    build: Callable[[Tensor, int, torch.dtype], Tensor]
    """Maps a mask [1, length] of seen tokens, a number of heads and a dtype to biases [heads, 1, length]."""
    heads: int
    dtype: torch.dtype
    scale: float = 1.0

    def __call__(self, length: int) -> Tensor:
        seen = torch.ones(1, length, dtype=torch.long)
        return self.build(seen, self.heads, self.dtype)[:, 0] * self.scale


def _weights(module: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    """`_attn` of GPT-J, CodeGen and GPT-Neo, of which the last does not scale and has windows in every other block."""
    local = getattr(module, "attention_type", None) == "local"
    window = module.config.window_size if local else None
    scale = 1 / module.scale_attn if hasattr(module, "scale_attn") else 1.0
    # Rotary positions turn queries and keys into float32 for any dtype of the weights.
    query, key = query.to(value), key.to(value)
    mixed = attention.attend(module, query, key, value, None, scale, _rate(module, module.attn_dropout), window)[0]
    return mixed.transpose(1, 2), None


def _bloom(module: Any, hidden_states: Tensor, residual: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    query, key, value = module._reshape(module.query_key_value(hidden_states))
    rate = _rate(module, module.attention_dropout)
    alibi = _Alibi(build_alibi_tensor, module.num_heads, hidden_states.dtype)
    mixed = attention.attend(module, query, key, value, None, module.inv_norm_factor, rate, alibi=alibi)[0]
    output = module.dense(mixed.flatten(2))
    return residual + dropout(output, module.hidden_dropout, module.training), None


def _falcon(
    module: Any,
    hidden_states: Tensor,
    *_: Any,
    position_embeddings: tuple[Tensor, Tensor],
    **__: Any,
) -> tuple[Tensor, None]:
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb, build_alibi_tensor

    query, key, value = (part.transpose(1, 2) for part in module._split_heads(module.query_key_value(hidden_states)))
    alibi, rate = None, 0.0
    if module.config.alibi:
        alibi = _Alibi(build_alibi_tensor, module.num_heads, hidden_states.dtype, module.inv_norm_factor)
        rate = _rate(module, module.attention_dropout)
    else:
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
    mixed = attention.attend(module, query, key, value, None, module.inv_norm_factor, rate, alibi=alibi)[0]
    return module.dense(mixed.flatten(2)), None


def _mpt(module: Any, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    joint = module.Wqkv(hidden_states)
    if module.clip_qkv:
        joint = joint.clamp(min=-module.clip_qkv, max=module.clip_qkv)
    query, key, value = (
        part.unflatten(2, (module.n_heads, module.head_dim)).transpose(1, 2) for part in joint.chunk(3, dim=2)
    )
    rate = module.attn_dropout_p if module.training else 0.0
    alibi = _Alibi(_mpt_alibi, module.n_heads, hidden_states.dtype)
    mixed = attention.attend(module, query, key, value, None, module.softmax_scale, rate, alibi=alibi)[0]
    return module.out_proj(mixed.flatten(2)), None


def _mpt_alibi(seen: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

    biases: Tensor = build_mpt_alibi_tensor(heads, seen.shape[1])
    return biases.to(dtype)


def _rate(module: Any, layer: Any) -> float:
    return float(layer.p) if module.training else 0.0


_METHODS: dict[str, tuple[str, Callable[..., Any]]] = {
    "GPTJAttention": ("_attn", _weights),
    "CodeGenAttention": ("_attn", _weights),
    "GPTNeoSelfAttention": ("_attn", _weights),
    "BloomAttention": ("forward", _bloom),
    "FalconAttention": ("forward", _falcon),
    "MptAttention": ("forward", _mpt),
}
"""By class of attention modules: the method to replace, and what computes packed rows instead."""
