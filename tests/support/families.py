"""Tiny models of families that stand for kinds: how they attend, mix tokens, route, wrap and scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForImageTextToText

from tests.support.tiny_models import CONTEXT_LENGTH, make_tokenizer


@dataclass(frozen=True)
class Family:
    """A random model of a few blocks, and what is known of its kind."""

    model_type: str
    settings: dict[str, Any]
    """What its configuration, or that of its text part, has beside SIZES; None for a name that it lacks."""
    wrapper: dict[str, Any] | None = None
    """The configuration around that of the text part, for a model of several modalities."""
    packs: bool = False
    continues: bool = False
    """Whether responses continue from the cache of their prompt."""
    projections: tuple[str, ...] = ("model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj")
    """The modules that the concatenated heads of attention go into."""
    decoder: str = "model"
    """The module whose output is the last hidden states."""
    first_state: int = 1
    """Which of the network's hidden states is that after the first block."""
    own_head: bool = False
    """Whether transformers has no plain classification model for it."""
    attention: str = "eager"
    """The attention of transformers that plain forward passes run with."""


SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT_LENGTH,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_MIXED: dict[str, Any] = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LATENT: dict[str, Any] = {
    "num_key_value_heads": 4, "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
    "v_head_dim": 6, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1,
    "topk_group": 1, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
}  # fmt: skip
_SPARSE: dict[str, Any] = {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 8}
_LINEAR: dict[str, Any] = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}  # fmt: skip
_STATES: dict[str, Any] = {"num_key_value_heads": None, "num_attention_heads": None, "state_size": 8, "expand": 2}
_PER_LAYER: dict[str, Any] = {
    "head_dim": 8, "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 400, "num_kv_shared_layers": 0,
}  # fmt: skip
_VISION: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
_LONG_ROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32, "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
}  # fmt: skip
_NAMED_OTHERWISE = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "max_position_embeddings",
)  # fmt: skip
_FIRST, _SECOND = "model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj"

FAMILIES = {
    # attention over all or the nearest tokens, with rotary, absolute, linear or no positions
    "llama-dynamic": Family(
        "llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}, packs=True
    ),
    "qwen3": Family("qwen3", {"head_dim": 16}, packs=True),
    "olmo2": Family("olmo2", {}, packs=True),
    "gemma3_text": Family("gemma3_text", {"head_dim": 8, "query_pre_attn_scalar": 8, **_MIXED}, packs=True),
    "smollm3": Family("smollm3", {"no_rope_layer_interval": 2}, packs=True),
    "phi3-longrope": Family(
        "phi3", {"original_max_position_embeddings": 32, "rope_parameters": _LONG_ROPE}, packs=True
    ),
    "bloom": Family(
        "bloom",
        {
            "n_layer": 2,
            "n_head": 4,
            **dict.fromkeys(("num_key_value_heads", "num_hidden_layers", "num_attention_heads")),
        },
        projections=("transformer.h.0.self_attention.dense", "transformer.h.1.self_attention.dense"),
        decoder="transformer",
        packs=True,
    ),
    "falcon-alibi": Family(
        "falcon",
        {"alibi": True, "new_decoder_architecture": False, "num_key_value_heads": None, "intermediate_size": None},
        projections=("transformer.h.0.self_attention.dense", "transformer.h.1.self_attention.dense"),
        decoder="transformer",
        attention="sdpa",  # transformers' eager attention adds alibi twice
        packs=True,
    ),
    "falcon": Family(
        "falcon",
        {"num_kv_heads": 2, "new_decoder_architecture": True, "num_key_value_heads": None, "intermediate_size": None},
        packs=True,
        projections=("transformer.h.0.self_attention.dense", "transformer.h.1.self_attention.dense"),
        decoder="transformer",
    ),
    "mpt": Family(
        "mpt",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": CONTEXT_LENGTH,
            "attn_config": {"clip_qkv": 2.0},
            **dict.fromkeys(_NAMED_OTHERWISE),
        },
        packs=True,
        projections=("transformer.blocks.0.attn.out_proj", "transformer.blocks.1.attn.out_proj"),
        decoder="transformer",
    ),
    "gptj": Family(
        "gptj",
        {
            "n_embd": 32,
            "n_head": 4,
            "n_layer": 2,
            "n_inner": 48,
            "rotary_dim": 4,
            "n_positions": CONTEXT_LENGTH,
            **dict.fromkeys(_NAMED_OTHERWISE),
        },
        packs=True,
        projections=("transformer.h.0.attn.out_proj", "transformer.h.1.attn.out_proj"),
        decoder="transformer",
    ),
    "codegen": Family(
        "codegen",
        {
            "n_embd": 32,
            "n_head": 4,
            "n_layer": 2,
            "n_inner": 48,
            "rotary_dim": 4,
            "n_positions": CONTEXT_LENGTH,
            **dict.fromkeys(_NAMED_OTHERWISE),
        },
        packs=True,
        projections=("transformer.h.0.attn.out_proj", "transformer.h.1.attn.out_proj"),
        decoder="transformer",
        own_head=True,
    ),
    "gpt_neo": Family(
        "gpt_neo",
        {
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["local", "global"], 1]],
            "window_size": 6,
            **dict.fromkeys(("num_key_value_heads", "num_hidden_layers", "num_attention_heads")),
        },
        packs=True,
        projections=("transformer.h.0.attn.attention.out_proj", "transformer.h.1.attn.attention.out_proj"),
        decoder="transformer",
    ),
    # limits on attention and on logits, heads that attend to nothing, logits that are scaled
    "gemma2": Family(
        "gemma2",
        {
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 6,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 30.0,
        },
        packs=True,
    ),
    "gpt_oss": Family(
        "gpt_oss",
        {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
            **_MIXED,
        },
        packs=True,
    ),
    "granite": Family(
        "granite",
        {"logits_scaling": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5, "embedding_multiplier": 2.0},
        packs=True,
        own_head=True,
    ),
    "cohere2": Family("cohere2", {"logit_scale": 0.2, **_MIXED}, packs=True, own_head=True),
    # experts, latent attention, attention to the highest-scored tokens
    "mixtral": Family("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}, packs=True),
    "qwen3_moe": Family("qwen3_moe", {"head_dim": 8, **_EXPERTS}, packs=True),
    "phimoe": Family("phimoe", {"num_local_experts": 4, "num_experts_per_tok": 2}, packs=True),
    "olmoe": Family("olmoe", _EXPERTS, packs=True, own_head=True),
    "deepseek_v3": Family("deepseek_v3", _LATENT, packs=True),
    "deepseek_v32": Family("deepseek_v32", {**_LATENT, **_SPARSE}, own_head=True),
    "doge": Family("doge", {"keep_window_size": 16}),
    "llama4_text": Family(
        "llama4_text",
        {
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "attention_chunk_size": 16,
            "no_rope_layers": [1, 0],
            "floor_scale": 16,
            "layer_types": ["chunked_attention", "full_attention"],
        },
        own_head=True,
        continues=True,
    ),
    # blocks without attention, and models without any
    "lfm2": Family(
        "lfm2",
        {"layer_types": ["conv", "full_attention"], "block_ff_dim": 48},
        projections=("model.layers.1.self_attn.out_proj",),
        own_head=True,
        continues=True,
    ),
    "qwen3_next": Family(
        "qwen3_next",
        {
            "head_dim": 8,
            "shared_expert_intermediate_size": 16,
            "layer_types": ["linear_attention", "full_attention"],
            **_EXPERTS,
            **_LINEAR,
        },
        projections=(_SECOND,),
        continues=True,
    ),
    "falcon_h1": Family(
        "falcon_h1",
        {
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_n_groups": 1,
            "mamba_d_state": 8,
            "mamba_chunk_size": 16,
        },
        own_head=True,
        continues=True,
    ),
    "nemotron_h": Family(
        "nemotron_h",
        {
            "layers_block_type": ["mamba", "attention"],
            "head_dim": 8,
            "mamba_num_heads": 4,
            "mamba_head_dim": 8,
            "n_groups": 1,
            "ssm_state_size": 8,
            "chunk_size": 16,
        },
        projections=("model.layers.1.mixer.o_proj",),
        own_head=True,
        continues=True,
    ),
    "mamba": Family("mamba", _STATES, projections=(), decoder="backbone", first_state=0, own_head=True),
    # several versions of a hidden state, heads of several widths
    "gemma3n_text": Family(
        "gemma3n_text",
        {
            **_PER_LAYER,
            **_MIXED,
            "laurel_rank": 4,
            "activation_sparsity_pattern": [0.0, 0.0],
            "intermediate_size": [48, 48],
        },
        packs=True,
        own_head=True,
    ),
    "gemma4_text": Family("gemma4_text", {**_PER_LAYER, **_MIXED, "global_head_dim": 16}, packs=True, own_head=True),
    # decoders with a part of their own before the head, or beside an encoder of images
    "modernbert-decoder": Family(
        "modernbert-decoder",
        {"local_attention": 16, "global_attn_every_n_layers": 2, "num_key_value_heads": None},
        packs=True,
        projections=("model.layers.0.attn.Wo", "model.layers.1.attn.Wo"),
        own_head=True,
    ),
    "mistral3": Family(
        "mistral",
        {"head_dim": 8},
        wrapper={"model_type": "mistral3", "vision_config": {**_VISION, "model_type": "pixtral", "head_dim": 8}},
        packs=True,
        projections=tuple(f"model.language_model.layers.{block}.self_attn.o_proj" for block in range(2)),
        decoder="model.language_model",
        own_head=True,
    ),
    "qwen2_5_vl": Family(
        "qwen2_5_vl_text",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}},
        wrapper={
            "model_type": "qwen2_5_vl",
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_heads": 2,
                "out_hidden_size": 32,
            },
        },
        packs=True,
        projections=tuple(f"model.language_model.layers.{block}.self_attn.o_proj" for block in range(2)),
        decoder="model.language_model",
        own_head=True,
    ),
    "gemma3": Family(
        "gemma3_text",
        {"head_dim": 8, "query_pre_attn_scalar": 8, **_MIXED},
        wrapper={
            "model_type": "gemma3",
            "vision_config": {**_VISION, "model_type": "siglip_vision_model"},
            "mm_tokens_per_image": 4,
        },
        packs=True,
        projections=tuple(f"model.language_model.layers.{block}.self_attn.o_proj" for block in range(2)),
        decoder="model.language_model",
    ),
}


def write_family(folder: Path, name: str) -> Path:
    """A model folder of a family, its norms and biases random as well."""
    family = FAMILIES[name]
    tokenizer = make_tokenizer("byte_level")
    settings = {**SIZES, "vocab_size": len(tokenizer), **family.settings}
    settings = {key: value for key, value in settings.items() if value is not None}
    if family.wrapper is None:
        config = AutoConfig.for_model(family.model_type, **settings)
    else:
        text = {"model_type": family.model_type, **settings}
        config = AutoConfig.for_model(**{"tie_word_embeddings": False, **family.wrapper, "text_config": text})
    torch.manual_seed(0)
    listed = type(config) in AutoModelForCausalLM._model_mapping
    network = (AutoModelForCausalLM if listed else AutoModelForImageTextToText).from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
            elif float(parameter.std()) < 0.1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    network.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def plain_family(folder: Path, name: str) -> Any:
    """The network as transformers loads it, for plain forward passes."""
    config = AutoConfig.from_pretrained(folder)
    listed = type(config) in AutoModelForCausalLM._model_mapping
    auto = AutoModelForCausalLM if listed else AutoModelForImageTextToText
    network = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation=FAMILIES[name].attention)
    return network.eval()
