"""Tiny two-layer models of five families with small real tokenizers, as folders like any other model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

FAMILIES = ("llama", "gpt_neox", "gpt2", "qwen2", "mistral")
TOKENIZERS = ("byte_level", "byte_level_with_bos", "metaspace")
SLIDING_WINDOW = 6
CONTEXT_LENGTH = 256

_LINES = [
    "### Instruction: Which city is the capital of France? ### Response: Paris is the capital of France.",
    "### Instruction: Add the numbers 12 and 30. ### Response: The sum of the numbers is 42.",
    "the best answer is the answer that is true, and a worse answer is one that is not true.",
    "\n\nQ: What is warm?\nA: The sun is warm. Water can be warm, too: 30 degrees, say.\n",
    "Überall größere Äpfel; naïve cafés serve crêpes. 今日は良い天気です。 Привет, мир!",
]


def make_tokenizer(style: str) -> PreTrainedTokenizerFast:
    """A BPE tokenizer: `byte_level` as GPT-2's, `byte_level_with_bos` the same with a begin-of-text token that it adds
    by itself, `metaspace` as Llama 2's (sentencepiece: spaces written with a sign, begin-of-text added)."""
    tokenizer = Tokenizer(
        models.BPE(byte_fallback=style == "metaspace", unk_token="<unk>" if style == "metaspace" else None)
    )
    special = ["<unk>", "<s>", "</s>"]
    if style == "metaspace":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))], show_progress=False
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(_LINES, trainer)
    if style != "byte_level":
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
        model_max_length=CONTEXT_LENGTH,
    )


def make_network(family: str, vocab_size: int, seed: int = 0) -> Any:
    """A random model of two blocks, four heads and hidden size 32, with weights large enough to tell tokens apart."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": CONTEXT_LENGTH,
    }
    common: dict[str, Any] = {
        "vocab_size": vocab_size,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.3,
    }
    if family == "llama":
        config: Any = LlamaConfig(**sizes, **common, num_key_value_heads=2, tie_word_embeddings=True)
    elif family == "gpt_neox":
        config = GPTNeoXConfig(**sizes, **common | {"rotary_pct": 0.5})
    elif family == "gpt2":
        config = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_inner=48, n_positions=CONTEXT_LENGTH, **common)
    elif family == "qwen2":
        config = Qwen2Config(**sizes, **common | {"num_key_value_heads": 2, "head_dim": 16})
    else:
        config = MistralConfig(**sizes, **common, num_key_value_heads=2, sliding_window=SLIDING_WINDOW)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def write_tiny_model(folder: Path, family: str = "llama", tokenizer: str = "byte_level", seed: int = 0) -> Path:
    """A model folder of a family with a tokenizer of a style."""
    tok = make_tokenizer(tokenizer)
    make_network(family, len(tok), seed).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder
