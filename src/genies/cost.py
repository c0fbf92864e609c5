"""Estimates of the memory and work of one job, from the model's config.json and the job's arguments.

The terms are those of Korthikanti et al. (2022, arXiv 2205.05198) for activations and of Rajbhandari et al. (2020,
arXiv 1910.02054) for the optimizer, counted for this project's forward and backward passes. benchmarks/cost.py compares
them with measured peaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genies.activation_size import activation_bytes

Tuned = Literal["nothing", "adapter", "prompt", "all"]
Device = Literal["cpu", "cuda"]

VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SCORING_TOKENS: Mapping[str, int] = {"cpu": 1024, "cuda": 4096}
"""Default of batch_tokens in a forward pass, as in genies.lm.forward."""
TRAINING_TOKENS: Mapping[str, int] = {"cpu": 768, "cuda": 4096}
"""Default of batch_tokens in a forward and backward pass, as in genies.methods.training.loop."""

_NF4_BYTES = 4.127 / 8
"""Bytes of a weight in NF4 with double quantization (Dettmers et al. 2023, section 3)."""
_FRAMEWORK = {"cpu": 450_000_000, "cuda": 800_000_000}
"""Resident set of a process that has imported the libraries; context and workspaces of CUDA."""
_VOCABULARY_BLOCK = 2048
"""Vocabulary entries whose logits are in memory at a time, as in genies.lm.scoring."""
_MASK_BYTES = {"cpu": 4, "cuda": 1}
"""Bytes of one value of a dropout mask, as in genies.methods.training.dropout."""
_UNGATED = frozenset({"gpt2", "gpt_neox", "gpt_neo", "gptj", "opt", "bloom", "falcon", "phi", "starcoder2"})
"""Model types whose feed-forward layers have two matrices instead of three."""


@dataclass(frozen=True)
class Shape:
    """The dimensions of a decoder."""

    depth: int
    width: int
    queries: int
    """Width of the queries of all heads."""
    keys: int
    """Width of the keys of all heads."""
    inner: int
    """Width of a feed-forward layer."""
    matrices: int
    """Matrices of a feed-forward layer: 3 if it is gated, else 2."""
    vocabulary: int
    tied: bool
    """Whether embedding and language-model head share their weights."""
    experts: int = 1
    active_experts: int = 1

    @property
    def attention_weights(self) -> int:
        return 2 * self.width * (self.queries + self.keys)

    @property
    def linear_weights(self) -> int:
        """Weights of the linear layers of all blocks."""
        return self.depth * (self.attention_weights + self.experts * self.matrices * self.width * self.inner)

    @property
    def active_weights(self) -> int:
        """Weights of the linear layers that one token passes."""
        return self.depth * (self.attention_weights + self.active_experts * self.matrices * self.width * self.inner)

    @property
    def embedding_weights(self) -> int:
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def weights(self) -> int:
        """All weights but those of norms and biases."""
        return self.linear_weights + self.embedding_weights


@dataclass(frozen=True)
class Step:
    """What a job does with its model."""

    tuned: Tuned = "nothing"
    device: Device = "cpu"
    dtype: str = "float32"
    """Number format of the products: float32, bfloat16 or float16."""
    batch_tokens: int | None = None
    """Tokens in one forward pass (default: that of the device)."""
    four_bits: bool = False
    """Whether the weights of the linear layers are in NF4."""
    gradient_checkpointing: bool = False
    lora_rank: int = 64
    stored_texts: int = 0
    """Texts whose activations the job reads."""
    tokens: int = 0
    """Tokens that pass the model, in all passes of the job together."""

    @property
    def budget(self) -> int:
        defaults = SCORING_TOKENS if self.tuned == "nothing" else TRAINING_TOKENS
        return self.batch_tokens or defaults[self.device]


@dataclass(frozen=True)
class Estimate:
    """Memory in bytes by part, and work."""

    weights: int
    activations: int
    """Of one pass: what it holds at its peak, and with training what it keeps for the backward pass."""
    optimizer: int
    """Gradients and both moments of AdamW, in float32."""
    store: int
    """Activations that are read, in main memory."""
    framework: int
    """The libraries, or the context of the GPU."""
    forward_tokens: int
    """Tokens through the model."""
    flops: int
    """Floating-point operations of linear layers, forward and backward; a multiply-add counts as two."""

    @property
    def memory(self) -> int:
        """Peak on the device. `store` is in main memory, which is the device only on a CPU."""
        return self.weights + self.activations + self.optimizer + self.framework


def read_shape(config: Mapping[str, Any]) -> Shape | None:
    """The dimensions in the content of a config.json; None if one is missing.

    >>> smol = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
    >>> shape = read_shape({**smol, "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True})
    >>> shape.weights
    134479872
    """
    nested = config.get("text_config")
    given = {**config, **nested} if isinstance(nested, dict) else config

    def number(*names: str) -> int | None:
        found = (given.get(name) for name in names)
        return next((each for each in found if isinstance(each, int) and not isinstance(each, bool) and each > 0), None)

    depth, width = number("num_hidden_layers", "n_layer"), number("hidden_size", "n_embd")
    heads, vocabulary = number("num_attention_heads", "n_head"), number("vocab_size")
    if depth is None or width is None or heads is None or vocabulary is None:
        return None
    head_width = number("head_dim") or width // heads
    family = str(given.get("model_type", "llama"))
    experts = number("num_local_experts", "num_experts", "n_routed_experts") or 1
    inner = number("moe_intermediate_size") if experts > 1 else None
    return Shape(
        depth,
        width,
        heads * head_width,
        (number("num_key_value_heads") or heads) * head_width,
        inner or number("intermediate_size", "n_inner", "ffn_dim") or 4 * width,
        2 if family in _UNGATED else 3,
        vocabulary,
        bool(given.get("tie_word_embeddings", family in ("gpt2", "gpt_neo", "opt", "bloom", "gemma", "gemma2"))),
        experts,
        number("num_experts_per_tok") or 1 if experts > 1 else 1,
    )


def estimate(config: Mapping[str, Any], step: Step) -> Estimate | None:
    """The memory and work of a job with the model of a config.json; None if the config lacks dimensions."""
    shape = read_shape(config)
    if shape is None:
        return None
    value = VALUE_BYTES[step.dtype]
    trained = _trained(shape, step)
    weights = _weight_bytes(shape, step, value)
    if step.tuned == "adapter":
        weights += 4 * trained
    passes = {"nothing": 2, "adapter": 4, "prompt": 4, "all": 6}[step.tuned]  # forward; to inputs; to weights
    if step.tuned != "nothing" and step.gradient_checkpointing:
        passes += 2
    text = activation_bytes(config, 4) or 0
    return Estimate(
        weights,
        _activation_bytes(shape, step, value),
        12 * trained,
        step.stored_texts * text,
        _FRAMEWORK[step.device],
        step.tokens,
        passes * shape.active_weights * step.tokens,
    )


def _trained(shape: Shape, step: Step) -> int:
    """Number of tuned weights. Virtual tokens and reward heads are too small to count."""
    if step.tuned == "all":
        return shape.weights
    if step.tuned != "adapter":
        return 0
    sides = 4 * shape.width + 2 * (shape.queries + shape.keys)
    sides += shape.experts * shape.matrices * (shape.width + shape.inner)
    return shape.depth * step.lora_rank * sides


def _weight_bytes(shape: Shape, step: Step, value: int) -> int:
    if step.tuned == "all":  # float32, and with 16 bits a copy for the products
        return shape.weights * (4 if value == 4 else 6)
    linear = shape.linear_weights * (_NF4_BYTES if step.four_bits else value)
    return round(linear) + shape.embedding_weights * value


def _activation_bytes(shape: Shape, step: Step, value: int) -> int:
    inner = shape.inner * shape.active_experts
    at_once = 2 * 4 * shape.width + value * (4 * shape.queries + shape.matrices * inner)
    if step.tuned == "nothing":
        return step.budget * (at_once + _VOCABULARY_BLOCK * (value + 8))
    kept = at_once
    if step.tuned == "all":  # inputs of linear layers, and of the norms' weights
        kept += 8 * shape.width + value * (2 * shape.width + inner)
    elif step.tuned == "adapter":  # of each adapter its mask, its masked input, and between its matrices
        inputs = 3 * shape.width + shape.queries + (shape.matrices - 1) * shape.width + inner
        kept += (_MASK_BYTES[step.device] + value) * inputs + value * step.lora_rank * (4 + shape.matrices)
    if step.gradient_checkpointing:
        return step.budget * (shape.depth * shape.width * value + kept)
    return step.budget * shape.depth * kept
