"""Create and save adapters in PEFT's format."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genies.errors import InputError
from genies.lm.divided import gathered
from genies.lm.model import LanguageModel
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.decoder_head import network_to_adapt, save_head
from genies.methods.training.dropout import replace_dropout, stable_number
from genies.methods.training.lora_targets import excluded_modules
from genies.methods.training.reward_model import RewardModel
from genies.methods.training.virtual_tokens import put_in_front

WEIGHTS = "adapter_model.safetensors"


def add_lora(network: Any, arguments: LoraArguments, base: Path, task: str) -> Any:
    """A PEFT model of `network` with low-rank adapters in the modules that `arguments` select.

    task: SEQ_CLS, with which PEFT tunes and saves the head, too, or CAUSAL_LM. Raises InputError if the default modules
    are requested and PEFT has none for the model's family.
    """
    from peft import LoraConfig

    from genies.methods.training.fused_lora import fuse_lora

    torch.manual_seed(stable_number(f"adapter {arguments.seed}"))
    config = LoraConfig(
        task_type=task,
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=0.0,  # replace_dropout sets ours; PEFT allows none for the weights of all experts in one tensor
        target_modules=_target_modules(network, arguments),
        exclude_modules=excluded_modules(network),
        base_model_name_or_path=str(base),
    )
    tuned = _wrap(network, config, base)
    replace_dropout(tuned, arguments.lora_dropout)
    fuse_lora(tuned)
    if not config.target_parameters:
        config.lora_dropout = arguments.lora_dropout
    return tuned


def _target_modules(network: Any, arguments: LoraArguments) -> str | list[str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    if arguments.lora_target_modules == "all-linear":
        return "all-linear"
    family = network.config.model_type
    if family not in DEFAULTS:
        raise InputError(
            f"--lora_target_modules default: PEFT has no default modules for models of type {family!r}; use all-linear"
        )
    return list(DEFAULTS[family])


def add_virtual_tokens(model: RewardModel, count: int, init: str, base: Path, seed: int) -> tuple[Any, RewardModel]:
    """A PEFT model with `count` virtual tokens, and the reward model that uses them.

    init: "vocabulary" for words of the vocabulary drawn with `seed`, or "random" for normal noise.
    """
    from peft import PromptTuningConfig

    check_room(model.language_model, count)
    network, task = network_to_adapt(model.classifier)
    sizes = network.config.get_text_config()
    if getattr(sizes, "hidden_size_per_layer_input", None):
        raise InputError(
            f"the model in {base} has an embedding of token ids in every block ({type(network).__name__}), and virtual "
            "tokens have none there; use lora_fine_tune"
        )
    torch.manual_seed(stable_number(f"adapter {seed}"))
    config = PromptTuningConfig(
        task_type=task,
        num_virtual_tokens=count,
        prompt_tuning_init="SAMPLE_VOCAB" if init == "vocabulary" else "RANDOM",
        # PEFT requires a number but does not use it here; a state-space model has none.
        num_attention_heads=getattr(sizes, "num_attention_heads", None) or 1,
        base_model_name_or_path=str(base),
    )
    with gathered(network.get_input_embeddings()):
        tuned = _wrap(network, config, base)
    return tuned, replace(model, virtual_ids=read_virtual_tokens(tuned, model))


def _wrap(network: Any, config: Any, base: Path) -> Any:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses a deprecated name of transformers
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys")  # PEFT sets them itself
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # PEFT detects the transposed weights of GPT-2
        tuned = get_peft_model(network, config)
    # Values for the saved configuration: the local path of the base model, and lists in a fixed order.
    config.base_model_name_or_path = str(base)
    config.modules_to_save = sorted(set(config.modules_to_save or [])) or None
    for name in ("target_modules", "target_parameters"):
        if getattr(config, name, None):
            setattr(config, name, sorted(getattr(config, name)))
    return tuned


def read_virtual_tokens(tuned: Any, model: RewardModel) -> tuple[int, ...]:
    """Put the virtual tokens of a PEFT model into the embedding of its reward model; returns their ids."""
    return put_in_front(model.classifier, tuned.prompt_encoder[tuned.active_adapter].embedding.weight)


def check_room(model: LanguageModel, virtual_tokens: int) -> None:
    """Raise InputError unless the context has room for a text after the virtual tokens."""
    if model.context_length is not None and virtual_tokens >= model.context_length:
        raise InputError(
            f"{virtual_tokens:,} virtual tokens leave no room for a text: the context of the model in {model.folder} "
            f"has {model.context_length:,} tokens; tune with a smaller --num_virtual_tokens"
        )


def save_adapter(tuned: Any, output_dir: Path, classifier: Any = None) -> None:
    """Write an adapter with its head as PEFT does: adapter_config.json and adapter_model.safetensors.

    The head of a DecoderWithHead, given as `classifier`, is written to separate files.
    """
    tuned.save_pretrained(str(output_dir), safe_serialization=True, save_embedding_layers=False)
    save_head(classifier, output_dir)
