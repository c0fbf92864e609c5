"""The configurations of decoders that genies.lm.own_network computes without transformers. Imports no torch.

transformers gives many fields a meaning or a default. A configuration is only used here if every field in it is known,
so that the network is the one that transformers would build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OwnConfig:
    """Sizes and constants of a decoder of Llama's kind, under the names of transformers."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    bias_before: bool
    """Whether the projections to queries, keys and values have a bias."""
    bias_after: bool
    """Whether the output projection of attention has one."""
    mlp_bias: bool
    normalized: bool
    """Whether the queries and keys of each head are normalized."""

    def get_text_config(self) -> OwnConfig:
        """Itself, as for every model of text alone in transformers."""
        return self


_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings",
)  # fmt: skip
_NO_EFFECT = frozenset(
    {
        "_name_or_path", "attention_dropout", "bos_token_id", "dtype", "eos_token_id", "initializer_range",
        "is_llama_config", "max_window_layers", "pretraining_tp", "rope_interleaved", "torch_dtype",
        "transformers.js_config", "transformers_version", "use_cache",
    }
)  # fmt: skip
"""Fields that do not change the results of a forward pass in evaluation mode."""


def own_config(folder: Path) -> OwnConfig | None:
    """The configuration in a model folder; None if transformers has to read it."""
    try:
        given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return _understood(dict(given))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _understood(rest: dict[str, Any]) -> OwnConfig | None:
    """The configuration if its fields are all known; they are taken out of `rest`. KeyError if one is missing."""
    family = rest.pop("model_type")
    sizes = {name: rest.pop(name) for name in _SIZES}
    heads, width = sizes["num_attention_heads"], sizes["hidden_size"]
    head_dim = rest.pop("head_dim", None)
    epsilon, tied, padding = rest.pop("rms_norm_eps"), rest.pop("tie_word_embeddings"), rest.pop("pad_token_id", None)
    theta = _rope_theta(rest)
    biases = {name: rest.pop(name, False) for name in ("attention_bias", "mlp_bias")}
    fits = (
        all(_is_size(each) for each in (*sizes.values(), 1 if head_dim is None else head_dim))
        and all(isinstance(each, bool) for each in (tied, *biases.values()))
        and _is_number(epsilon)
        and _is_number(theta)
        and width % heads == 0
        and heads % sizes["num_key_value_heads"] == 0
        and (head_dim or width // heads) % 2 == 0
        and (head_dim is not None or family != "qwen3")  # 128 by default, whatever the other sizes are
        and (family == "llama" or not any(biases.values()))
        and (padding is None or (isinstance(padding, int) and 0 <= padding < sizes["vocab_size"]))
        and rest.pop("architectures", None) == [_ARCHITECTURES.get(family)]
        and rest.pop("hidden_act") == "silu"
        and _sees_all(rest, family, sizes["num_hidden_layers"])
        and not rest.keys() - _NO_EFFECT
    )
    if not fits:
        return None
    return OwnConfig(
        **sizes,
        head_dim=head_dim or width // heads,
        rms_norm_eps=epsilon,
        rope_theta=theta,
        tie_word_embeddings=tied,
        bias_before=biases["attention_bias"] or family == "qwen2",
        bias_after=biases["attention_bias"],
        mlp_bias=biases["mlp_bias"],
        normalized=family == "qwen3",
    )


def _rope_theta(rest: dict[str, Any]) -> Any:
    """The base of the rotary frequencies, as versions of transformers write it; None for frequencies of other kinds."""
    older = {name: rest.pop(name) for name in ("rope_theta", "rope_scaling") if name in rest}
    newer: Mapping[str, Any] | None = rest.pop("rope_parameters", None)
    if newer is None:
        return older.get("rope_theta") if older.get("rope_scaling") is None else None
    known = not older and set(newer) == {"rope_theta", "rope_type"} and newer["rope_type"] == "default"
    return newer["rope_theta"] if known else None


def _sees_all(rest: dict[str, Any], family: str, depth: int) -> bool:
    """Whether every block attends to all tokens before; takes the fields about windows out of `rest`."""
    layers = rest.pop("layer_types", None)
    window, used = rest.pop("sliding_window", None), rest.pop("use_sliding_window", False)
    # A window in a configuration of these families has an effect only if another field says so.
    unused = family in ("qwen2", "qwen3") and used is False
    return (window is None or unused) and (layers is None or layers == ["full_attention"] * depth)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
