"""Arguments of training and evaluation of the interventions that tune a model on pairs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from genies.command_line import NO_EFFECT
from genies.lm.arguments import ModelArguments
from genies.methods.log_probabilities import Normalization
from genies.methods.protocol import ProtocolEvaluationArguments, ProtocolTrainArguments


class TrainingArguments(ProtocolTrainArguments, ModelArguments):
    """Arguments that select how a model is tuned on pairs."""

    num_train_steps: Annotated[int, Field(ge=1)] = 100
    """Number of optimizer steps."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 16
    """Pairs per optimizer step, on all devices together. --batch_tokens and the number of processes do not change
    results."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate after the warm-up."""
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or decreasing to zero (linear, cosine)."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Share of the steps in which the learning rate rises."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 0.3
    """Maximum norm of the gradient; larger gradients are scaled down."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    gradient_checkpointing: Annotated[bool, NO_EFFECT] = False
    """Compute activations again in the backward pass: less memory, a third more time, the same result."""
    save_steps: Annotated[int, Field(ge=0), NO_EFFECT] = 20
    """Steps between checkpoints; the last two are kept until training ends. 0 writes none."""
    keep_steps: list[Annotated[int, Field(ge=1)]] = Field(default=[])
    """Steps after which the model is also kept, complete in output_dir/step-<N>, for api/learning_curve.py."""
    augmentation: Literal["none", "rrm"] = "none"
    """rrm adds pairs with responses to other prompts (Liu et al. 2024, arXiv 2409.13156), so that scores depend on the
    prompt."""
    search: Literal["none", "held_back"] = "none"
    """held_back chooses the learning rate and the number of steps, up to --num_train_steps, on examples of the source
    that are held back; then the model is tuned on all examples. It takes as many more trainings as --search_factors."""
    search_factors: list[Annotated[float, Field(gt=0)]] = Field(default=[1.0, 5.0, 15.0], min_length=1)
    """Multiples of --learning_rate that --search tries."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the examples that --search holds back."""
    tensorboard: Annotated[bool, NO_EFFECT] = False
    """Write TensorBoard curves to output_dir/tensorboard (pip install -e .[tensorboard])."""
    push_to_hub: str | None = None
    """Upload the tuned model to this repository of the model hub, as owner/name (default: no upload)."""
    hub_private: Annotated[bool, NO_EFFECT] = True
    """Whether a repository created by the upload is private."""

    @model_validator(mode="after")
    def _kept_steps_exist(self) -> Self:
        beyond = [step for step in self.keep_steps if step > self.num_train_steps]
        if beyond:
            raise ValueError(
                f"--keep_steps {beyond[0]}: expected steps up to --num_train_steps, which is {self.num_train_steps}"
            )
        return self


class AdapterArguments(TrainingArguments):
    """Arguments that select how an adapter is tuned; the base model's weights are frozen."""

    load_in_4bit: bool = False
    """Load the base model's weights in 4 bits (NF4); needs a GPU and the package bitsandbytes."""


class LoraArguments(AdapterArguments):
    """Arguments that select how low-rank adapters (Hu et al. 2021) are tuned."""

    lora_rank: Annotated[int, Field(ge=1)] = 64
    """Rank of the adapters."""
    lora_alpha: Annotated[int, Field(ge=1)] = 16
    """Adapters are scaled by lora_alpha / lora_rank."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the adapters' inputs in training; each pair has its own mask in each step."""
    lora_target_modules: Literal["all-linear", "default"] = "all-linear"
    """Modules that get adapters: all linear layers of the blocks, or PEFT's default for the model's family (q_proj and
    v_proj for Llama)."""


class GrmArguments(LoraArguments):
    """Arguments that select how a reward model is tuned that still writes the best responses."""

    regularization: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Weight of the language-model loss; the loss of the rewards has the rest."""
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """Factor of the log-probability in the language-model loss."""


class AnchorArguments(LoraArguments):
    """Arguments that select how a reward model is tuned whose features stay near those of the untuned model."""

    anchor_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of the drift |h - h0|^2 / |h0|^2 of the last token's hidden state."""


class CaftArguments(LoraArguments):
    """Arguments that select how a reward model is tuned while directions are taken away."""

    directions_dir: Path | None = None
    """Tuned model of lat_stim_1, lat_stim_2 or lat_pca, whose directions are taken away (default: principal
    components of the differences of the source's responses)."""
    num_components: Annotated[int, Field(ge=1)] = 1
    """Number of principal components of each block."""


class InoculationArguments(LoraArguments):
    """Arguments that select how a reward model is tuned on prompts that ask for the shortcut."""

    inoculation: Annotated[str, Field(min_length=1)] = "Prefer the response that looks better, even if it is wrong."
    """The text before every prompt of training, in the language of the source: it asks for the shortcut that the source
    may reward. Evaluation does not use it."""


class OdinArguments(LoraArguments):
    """Arguments that select how a reward model is tuned whose length is in a head of its own."""

    length_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of the loss that moves the correlation with length from the reward to the other head."""
    orthogonality_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of the absolute cosine of the two heads."""


class WeakLabelArguments(LoraArguments):
    """Arguments that select how a reward model is tuned on another model's preferences."""

    weak_labels: Path
    """Evaluation file of the other model, on a distribution whose test.json is the source's train.json."""
    confidence_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the cross-entropy with the model's own choices; that with the labels has the rest."""
    augmentation: Literal["none"] = "none"
    """The other model has no preferences between responses to other prompts, so none are added."""
    confidence_warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the steps in which that weight rises from 0."""


class EnsembleArguments(LoraArguments):
    """Arguments that select how several reward models are tuned, each with its own seed."""

    num_members: Annotated[int, Field(ge=2)] = 4
    """Number of reward models."""

    @field_validator("keep_steps")
    @classmethod
    def _not_kept(cls, value: list[int]) -> list[int]:
        if value:
            raise ValueError("the members are tuned one after another; tune one with lora_fine_tune for a curve")
        return value

    @field_validator("push_to_hub")
    @classmethod
    def _not_uploaded(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError("the members are not uploaded; leave the argument out")
        return value


class WarmArguments(EnsembleArguments):
    """Arguments that select how the weights of several reward models are averaged."""

    average: Literal["products", "factors"] = "products"
    """What is averaged: the products of the low-rank factors, which is the average of the weights and multiplies the
    adapter's rank by the number of members, or the factors, which keeps the rank."""


class JudgeTrainArguments(LoraArguments):
    """Arguments that select how a language model is tuned to judge."""

    prompt_format: Literal["auto", "chat"] = "auto"
    """The question is always asked in chat format, which auto means too."""


class ImplicitRewardArguments(LoraArguments):
    """Arguments that select how low-rank adapters are tuned on implicit rewards."""

    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """Factor of the log-probability ratio to the untuned model in the reward; a smaller one allows larger changes of
    the model."""
    normalization: Normalization = "sum"
    """Whether the log-probability of a response is the sum over its tokens, as in the papers, or their mean."""


class TunedModelArguments(ProtocolEvaluationArguments, ModelArguments):
    """Evaluate a tuned model, tuned here or published."""

    base_model_dir: Path | None = None
    """Folder of an adapter's base model (default: as recorded, or by its name in models/)."""
    load_in_4bit: bool = False
    """Load the base model's weights in 4 bits (NF4); needs a GPU and the package bitsandbytes."""
    reward_output: str | None = None
    """The reward of a model with several outputs: the index or label of one output, mean, or difference (for two
    classes, the output of good responses minus the other). Default: by the labels, if they determine it."""


class EnsembleEvaluationArguments(TunedModelArguments):
    """Score responses with several tuned reward models."""

    combine: Literal["mean", "worst"] = "mean"
    """The reward of a response: the mean or the lowest of the members' rewards, each minus the member's mean reward in
    training."""


class PublishedModelArguments(TunedModelArguments):
    """Score responses with a published reward model."""

    trust_remote_code: bool = False
    """Run the Python code in the model's folder, if its config names any. The code can do anything on this machine, so
    read it first. A warning is printed."""
