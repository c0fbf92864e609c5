"""Arguments of every intervention that trains on pairs, and of their evaluation. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from genies.command_line import NO_EFFECT
from genies.lm.arguments import ModelArguments
from genies.methods.protocol import ProtocolEvaluationArguments, ProtocolTrainArguments


class TrainingArguments(ProtocolTrainArguments, ModelArguments):
    """How a model is tuned on pairs."""

    num_train_steps: Annotated[int, Field(ge=1)] = 100
    """Optimizer steps."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 16
    """Pairs in one optimizer step, on all devices together: neither --batch_tokens nor the number of processes
    changes results."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate after the warm-up."""
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "constant"
    """After the warm-up the learning rate stays, or falls to zero."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Share of the steps in which the learning rate rises."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 0.3
    """A longer gradient is scaled down to this norm."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay."""
    gradient_checkpointing: Annotated[bool, NO_EFFECT] = False
    """Compute activations again in the backward pass: less memory, a third more time, the same result."""
    save_steps: Annotated[int, Field(ge=0), NO_EFFECT] = 20
    """Steps between checkpoints, of which the last two are kept until training ends; 0 for none."""
    tensorboard: Annotated[bool, NO_EFFECT] = False
    """Write TensorBoard curves to output_dir/tensorboard (pip install -e .[tensorboard])."""
    push_to_hub: str | None = None
    """Upload the tuned model to this repository of the model hub, as owner/name (default: it stays here)."""
    hub_private: Annotated[bool, NO_EFFECT] = True
    """Whether a repository that the upload creates is private."""


class AdapterArguments(TrainingArguments):
    """How an adapter is tuned, the base model's weights frozen."""

    load_in_4bit: bool = False
    """Hold the base model's weights in 4 bits (NF4); needs a GPU and the package bitsandbytes."""


class LoraArguments(AdapterArguments):
    """How low-rank adapters (Hu et al. 2021) are tuned."""

    lora_rank: Annotated[int, Field(ge=1)] = 64
    """Rank of the adapters."""
    lora_alpha: Annotated[int, Field(ge=1)] = 16
    """Adapters are scaled by lora_alpha / lora_rank."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the adapters' inputs left out in training, drawn anew for each pair and step."""
    lora_target_modules: Literal["all-linear", "default"] = "all-linear"
    """Which modules get adapters: all linear layers of the blocks, or those that PEFT chooses for the model's family
    (q_proj and v_proj for Llama)."""


class TunedModelArguments(ProtocolEvaluationArguments, ModelArguments):
    """Evaluate a tuned model, made here or published."""

    base_model_dir: Path | None = None
    """Folder of an adapter's base model (default: as recorded, or found by its name in models/)."""
    load_in_4bit: bool = False
    """Hold the base model's weights in 4 bits (NF4); needs a GPU and the package bitsandbytes."""
    reward_output: str | None = None
    """Of a reward model with several outputs, which is the reward: the index or the label of one, mean, or difference
    (of two classes, the output of good responses minus the other). Default: by the labels, where they say it."""
