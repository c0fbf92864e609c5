"""Decoders of Llama's kind, without transformers, whose import takes longer than that of torch.

The modules have the names of transformers, and their operations are the same in the same order, so that results are
the same to the last bit. Everything that is not known here (genies.lm.own_config) is left to transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from genies.lm import attention
from genies.lm.own_config import OwnConfig, own_config

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines [1, 1, tokens, head_dim] of the positions."""


@dataclass
class States:
    """Output of a decoder."""

    last_hidden_state: Tensor
    """[rows, tokens, width], after the final norm."""


@dataclass
class Logits:
    """Output of a network."""

    logits: Tensor
    """[rows, tokens, vocabulary]."""


def load_own(folder: Path, dtype: torch.dtype, device: torch.device) -> OwnNetwork | None:
    """The network in a model folder, in evaluation mode and without gradients; None if transformers has to load it,
    which also says what is wrong with a folder."""
    config = own_config(folder)
    if config is None:
        return None
    network = OwnNetwork(config)
    expected = dict(network.named_parameters())
    try:
        found = {name: tensor for path in _weight_files(folder) for name, tensor in _tensors(path)}
        if any(
            name not in expected or each.shape != expected[name].shape or not each.is_floating_point()
            for name, each in found.items()
        ):
            return None
        for name, each in found.items():
            parent, _, own = name.rpartition(".")
            moved = nn.Parameter(each.to(device, dtype), requires_grad=False)
            setattr(network.get_submodule(parent), own, moved)
    except (OSError, SafetensorError, RuntimeError, MemoryError, KeyError, TypeError, ValueError):
        return None
    if config.tie_word_embeddings:
        if "lm_head.weight" in found:
            return None
        network.lm_head.weight = network.model.embed_tokens.weight
    if any(each.is_meta for each in network.parameters()):
        return None
    network.model.rotary_emb.inv_freq = _frequencies(config).to(device)
    return network.eval()


def _weight_files(folder: Path) -> list[Path]:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if not index.exists():
        return [single]
    if single.exists():
        return []
    return sorted({folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, which is mapped into memory and read where it is used."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            yield name, file.get_tensor(name)


def _frequencies(config: OwnConfig) -> Tensor:
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float, device="cpu") / config.head_dim
    return 1.0 / (config.rope_theta**steps)


class OwnNetwork(nn.Module):
    """A decoder with its language-model head; its parameters have no values yet."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = _linear(config.hidden_size, config.vocab_size, False)

    def forward(self, input_ids: Tensor, **given: Any) -> Logits:
        """Logits of token ids [rows, tokens]."""
        return Logits(self.lm_head(self.model(input_ids, **given).last_hidden_state))

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.lm_head.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head


class Decoder(nn.Module):
    """The network without its head."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config = config
        empty = torch.empty(config.vocab_size, config.hidden_size, device="meta")
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=empty)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = Norm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = Rotary(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool = False,
    ) -> States:
        """Last hidden states of token ids [rows, tokens]: of a packed row within `attending`, else of one sequence in
        each row, where the mask [rows, tokens] is 0 for padding on the right."""
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        hidden = self.embed_tokens(input_ids)
        rotation = self.rotary_emb(hidden, position_ids)
        visible = None
        if attention_mask is not None:
            visible = attention_mask.bool()[:, None, None, :]
            visible = visible & torch.ones(2 * input_ids.shape[1:], dtype=torch.bool, device=hidden.device).tril()
        for block in self.layers:
            hidden = block(hidden, rotation, visible)
        return States(self.norm(hidden))


class Block(nn.Module):
    """One block: attention and MLP, each after a norm and added to its input."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = Norm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Norm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: Rotation, visible: Tensor | None) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, visible)
        found: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return found


class Attention(nn.Module):
    """Attention with rotary positions, in which several heads can share keys and values."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.head_dim, self.scaling = config.head_dim, config.head_dim**-0.5
        heads, shared = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.q_proj = _linear(config.hidden_size, heads, config.bias_before)
        self.k_proj = _linear(config.hidden_size, shared, config.bias_before)
        self.v_proj = _linear(config.hidden_size, shared, config.bias_before)
        self.o_proj = _linear(heads, config.hidden_size, config.bias_after)
        self.q_norm, self.k_norm = (
            Norm(config.head_dim, config.rms_norm_eps) if config.normalized else nn.Identity() for _ in range(2)
        )

    def forward(self, hidden: Tensor, rotation: Rotation, visible: Tensor | None) -> Tensor:
        shape = (*hidden.shape[:-1], -1, self.head_dim)
        query = self.q_norm(self.q_proj(hidden).view(shape)).transpose(1, 2)
        key = self.k_norm(self.k_proj(hidden).view(shape)).transpose(1, 2)
        value = self.v_proj(hidden).view(shape).transpose(1, 2)
        query, key = _rotated(query, rotation), _rotated(key, rotation)
        if attention.is_attending():
            mixed, _ = attention.attend(self, query, key, value, None, scaling=self.scaling)
        else:
            mixed = scaled_dot_product_attention(
                query, key, value, visible, is_causal=visible is None, scale=self.scaling, enable_gqa=True
            ).transpose(1, 2)
        projected: Tensor = self.o_proj(mixed.reshape(*hidden.shape[:-1], -1).contiguous())
        return projected


class MLP(nn.Module):
    """A gated linear unit with SiLU."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.gate_proj = _linear(config.hidden_size, config.intermediate_size, config.mlp_bias)
        self.up_proj = _linear(config.hidden_size, config.intermediate_size, config.mlp_bias)
        self.down_proj = _linear(config.intermediate_size, config.hidden_size, config.mlp_bias)
        self.act_fn = nn.SiLU()

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.down_proj(self.act_fn(self.gate_proj(hidden)) * self.up_proj(hidden))
        return projected


class Norm(nn.Module):
    """Root mean square norm (Zhang & Sennrich 2019), computed in float32."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, device="meta"))
        self.variance_epsilon = epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(hidden.dtype)


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021)."""

    inv_freq: Tensor

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        empty = torch.empty(config.head_dim // 2, device="meta")
        self.register_buffer("inv_freq", empty, persistent=False)

    def forward(self, like: Tensor, position_ids: Tensor) -> Rotation:
        angles = position_ids[..., None].float() * self.inv_freq
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _rotated(states: Tensor, rotation: Rotation) -> Tensor:
    cosines, sines = rotation
    first, second = states.chunk(2, dim=-1)
    return (states * cosines) + (torch.cat((-second, first), dim=-1) * sines)


def _linear(inputs: int, outputs: int, bias: bool) -> nn.Linear:
    """A layer without values; the constructor of nn.Linear would draw some, which takes time even without memory."""
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.in_features, layer.out_features = inputs, outputs
    layer.weight = nn.Parameter(torch.empty(outputs, inputs, device="meta"))
    layer.register_parameter("bias", nn.Parameter(torch.empty(outputs, device="meta")) if bias else None)
    return layer
