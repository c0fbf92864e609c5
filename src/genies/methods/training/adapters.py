"""Adapters in PEFT's format: made, saved, read again, and their base models found."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from genies.adapter_base import CONFIG, find_base_model
from genies.errors import InputError
from genies.files import read_json
from genies.lm.capability import first_line, is_out_of_memory
from genies.lm.model import LanguageModel
from genies.lm.model_folder import check_model_folder
from genies.methods.training.arguments import LoraArguments, TunedModelArguments
from genies.methods.training.decoder_head import has_head, network_to_adapt, put_head, read_head, save_head
from genies.methods.training.dropout import replace_dropout, stable_number
from genies.methods.training.lora_targets import excluded_modules
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import HEADS, RewardModel, add_head, tell_outputs
from genies.methods.training.virtual_tokens import put_in_front

WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

_HEAD = re.compile(rf"(^|\.)({'|'.join(HEADS)})\.weight$")


def add_lora(network: Any, arguments: LoraArguments, base: Path, task: str) -> Any:
    """A PEFT model of `network` with low-rank adapters in the modules that `arguments` name.

    task: SEQ_CLS, by which the head is tuned and saved with the adapter, or CAUSAL_LM. Raises InputError where
    PEFT has no default modules for the model's family and those are asked for.
    """
    from peft import LoraConfig

    torch.manual_seed(stable_number(f"adapter {arguments.seed}"))
    config = LoraConfig(
        task_type=task,
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=0.0,  # ours takes its place, and PEFT refuses any for weights of many experts in one tensor
        target_modules=_target_modules(network, arguments),
        exclude_modules=excluded_modules(network),
        base_model_name_or_path=str(base),
    )
    tuned = _wrap(network, config, base)
    replace_dropout(tuned, arguments.lora_dropout)
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
    """A PEFT model with `count` virtual tokens, and the reward model that reads them.

    init: words of the vocabulary drawn with `seed` ("vocabulary"), or normal noise ("random").
    """
    from peft import PromptTuningConfig

    _check_room(model.language_model, count)
    torch.manual_seed(stable_number(f"adapter {seed}"))
    network, task = network_to_adapt(model.classifier)
    config = PromptTuningConfig(
        task_type=task,
        num_virtual_tokens=count,
        prompt_tuning_init="SAMPLE_VOCAB" if init == "vocabulary" else "RANDOM",
        base_model_name_or_path=str(base),
    )
    tuned = _wrap(network, config, base)
    return tuned, replace(model, virtual_ids=_read_virtual_tokens(tuned, model))


def _wrap(network: Any, config: Any, base: Path) -> Any:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a name that is to go
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # how GPT-2 keeps its weights, which PEFT sees
        tuned = get_peft_model(network, config)
    # What is written down: the base model by the name it goes by here, and lists that come out alike every time.
    config.base_model_name_or_path = str(base)
    config.modules_to_save = sorted(set(config.modules_to_save or [])) or None
    for name in ("target_modules", "target_parameters"):
        if getattr(config, name, None):
            setattr(config, name, sorted(getattr(config, name)))
    return tuned


def _read_virtual_tokens(tuned: Any, model: RewardModel) -> tuple[int, ...]:
    return put_in_front(model.classifier, tuned.prompt_encoder[tuned.active_adapter].embedding.weight)


def _check_room(model: LanguageModel, virtual_tokens: int) -> None:
    """InputError unless a text has room behind the virtual tokens."""
    if model.context_length is not None and virtual_tokens >= model.context_length:
        raise InputError(
            f"{virtual_tokens:,} virtual tokens leave no room for a text: the model in {model.folder} takes "
            f"{model.context_length:,} tokens; tune with fewer (--num_virtual_tokens)"
        )


def save_adapter(tuned: Any, output_dir: Path, classifier: Any = None) -> None:
    """Write an adapter as PEFT does: adapter_config.json and adapter_model.safetensors, head included.

    A head of ours, which PEFT does not know of, is the `classifier`'s and is written beside it.
    """
    tuned.save_pretrained(str(output_dir), safe_serialization=True, save_embedding_layers=False)
    save_head(classifier, output_dir)


def load_adapter(folder: Path, arguments: TunedModelArguments) -> RewardModel:
    """The reward model of an adapter, made here or published, on top of its base model.

    LoRA is merged into the weights where these are float32. A head with several outputs gives their mean, as those of
    the 2023 release with two. Raises InputError for an adapter of another kind, without
    head, or that does not fit the base model.
    """
    own_head = read_head(folder) if has_head(folder) else None
    kind = _check_adapter(folder, "SEQ_CLS" if own_head is None else "CAUSAL_LM")
    outputs = _outputs(folder) if own_head is None else len(own_head)
    base = _base_model(folder, arguments)
    tell_outputs(folder, outputs)
    language_model = load_base_model(base, arguments, arguments.load_in_4bit)
    if own_head is None:
        model = add_head(language_model, seed=0, outputs=outputs)
    else:
        network = put_head(language_model.network, own_head, language_model.device, folder)
        model = RewardModel(replace(language_model, network=network))
    tuned = _apply(network_to_adapt(model.classifier)[0], folder, base)
    if kind == "PROMPT_TUNING":
        virtual_ids = _read_virtual_tokens(tuned, model)
        _check_room(model.language_model, len(virtual_ids))
        return replace(model, virtual_ids=virtual_ids)
    if _merges(model.language_model, arguments.load_in_4bit):
        merged = tuned.merge_and_unload().requires_grad_(False)
        if own_head is None:
            return RewardModel(replace(model.language_model, network=merged))
    return model


def load_language_adapter(folder: Path, arguments: TunedModelArguments) -> LanguageModel:
    """The language model of an adapter that tunes log-probabilities, on top of its base model."""
    _check_adapter(folder, "CAUSAL_LM")
    if has_head(folder):
        raise InputError(f"the adapter in {folder} has a reward head: it was tuned for rewards, not log-probabilities")
    base = _base_model(folder, arguments)
    model = load_base_model(base, arguments, arguments.load_in_4bit)
    tuned = _apply(model.network, folder, base)
    if _merges(model, arguments.load_in_4bit):
        return replace(model, network=tuned.merge_and_unload().requires_grad_(False))
    return model


def _base_model(folder: Path, arguments: TunedModelArguments) -> Path:
    base = find_base_model(folder, arguments.base_model_dir)
    print(f"base model of {folder}: {base}", file=sys.stderr)
    return base


def _merges(model: LanguageModel, in_4bit: bool) -> bool:
    # In 16 or 4 bits the sum of weights and adapter would be rounded.
    return model.dtype == torch.float32 and not in_4bit


def _apply(network: Any, folder: Path, base: Path) -> Any:
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, as tensors that are missing, is told by _check_tensors
            tuned = PeftModel.from_pretrained(network, str(folder))
    except Exception as error:  # PEFT raises nearly every kind for a configuration it cannot follow
        if is_out_of_memory(error):
            raise
        raise InputError(f"the adapter in {folder} does not fit the base model {base}: {_reason(error)}") from None
    _check_tensors(tuned, folder, base)
    return tuned.eval().requires_grad_(False)


def _check_tensors(tuned: Any, folder: Path, base: Path) -> None:
    """InputError unless every tensor of the adapter came from its file and every tensor of the file is in use: PEFT
    leaves what is missing at its untrained values."""
    from peft import get_peft_model_state_dict

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        found = set(file.keys())
    needed = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    known = set(get_peft_model_state_dict(tuned, save_embedding_layers=True))  # embeddings may come with an adapter
    for what, names in (
        ("lacks tensors that it needs", needed - found),
        ("has tensors without a place", found - known),
    ):
        if names:
            raise InputError(
                f"the adapter in {folder} does not fit the base model {base}: {WEIGHTS} {what}: {len(names)}, the "
                f"first {min(names)}; fetch it again, or name another base with --base_model_dir"
            )


def _check_adapter(folder: Path, task: str) -> str:
    if (folder / CONFIG).is_file() and not (folder / WEIGHTS).is_file():
        # Before anything is loaded: PEFT would take a pickle in its place.
        pickled = f"{folder / PICKLED} is a pickled file, which can run code when loaded and is never read; ask its "
        pickled += f"author for {WEIGHTS}, or make it where its origin is trusted: PEFT's save_pretrained writes it"
        reason = pickled if (folder / PICKLED).is_file() else "other names and formats are not read"
        raise InputError(f"the adapter in {folder} has no {WEIGHTS}: {reason}")
    check_model_folder(folder)
    config = read_json(folder / CONFIG, "adapter configuration")
    kind, found = str(config.get("peft_type")), config.get("task_type")
    if kind not in ("LORA", "PROMPT_TUNING"):
        raise InputError(f"{folder / CONFIG}, field peft_type: expected LORA or PROMPT_TUNING, got {kind}")
    if found != task:
        raise InputError(f"{folder / CONFIG}, field task_type: expected {task}, got {found}")
    if config.get("megatron_config"):  # PEFT would import a module that the configuration names
        raise InputError(f"{folder / CONFIG}, field megatron_config: expected null; such adapters are not read")
    return kind


def _reason(error: Exception) -> str:
    """What torch says after a heading that ends in a colon, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 and lines[0].endswith(":") else first_line(error)


def _outputs(folder: Path) -> int:
    """How many outputs the head saved with an adapter has; InputError where none is."""
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dict
                shape = file.get_slice(name).get_shape()
                if len(shape) == 2 and _HEAD.search(name):
                    return int(shape[0])
    except SafetensorError as error:
        raise InputError(f"weights {folder / WEIGHTS} are damaged: {first_line(error)}") from None
    raise InputError(f"the adapter in {folder} has no reward head ({' or '.join(HEADS)}); it is no reward model")
