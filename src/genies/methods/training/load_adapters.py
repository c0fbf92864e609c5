"""Load adapters in PEFT's format, tuned here or published, with their base models."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from genies.adapter_base import CONFIG, find_base_model, revision_doubt
from genies.errors import InputError
from genies.files import read_json
from genies.lm.capability import first_line, is_out_of_memory
from genies.lm.model import LanguageModel, load_tokenizer
from genies.lm.model_folder import TOKENIZER_FILES, check_model_folder
from genies.lm.offline import offline
from genies.methods.training.adapters import WEIGHTS, check_room, read_virtual_tokens
from genies.methods.training.arguments import TunedModelArguments
from genies.methods.training.classifier import is_classifier, labels_of, read_classifier, read_own, settle
from genies.methods.training.decoder_head import (
    DecoderWithHead,
    has_head,
    head_labels,
    put_head,
    read_head,
)
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import HEADS, RewardModel, add_head
from genies.methods.training.reward_outputs import choose_outputs, is_of_release
from genies.methods.training.reward_record import is_tuned_here

PICKLED = "adapter_model.bin"

_HEAD = re.compile(rf"(^|\.)({'|'.join(HEADS)})\.weight$")


def load_adapter(folder: Path, arguments: TunedModelArguments) -> RewardModel:
    """Load the reward model of an adapter, tuned here or published, with its base model.

    LoRA is merged into float32 weights. Raises InputError for an adapter of another kind, without a head, or that does
    not fit the base model, and if the reward cannot be determined from several outputs.
    """
    if has_head(folder):
        return _load_with_own_head(folder, arguments)
    config = _check_adapter(folder, "SEQ_CLS")
    tuned_here = is_tuned_here(folder)
    count = _outputs(folder)
    base = _base_model(folder, arguments)
    if is_classifier(base):
        model, _ = read_classifier(base, arguments)
        labels = labels_of(model.classifier.config)
        model = replace(model, language_model=_with_tokenizer(model.language_model, folder))
    else:
        language_model = load_base_model(base, arguments, arguments.load_in_4bit)
        labels = [f"LABEL_{index}" for index in range(count)]
        model = add_head(_with_tokenizer(language_model, folder), seed=0, outputs=count, own_padding=not tuned_here)
        if isinstance(model.classifier, DecoderWithHead):
            raise InputError(
                f"{base}: transformers has no plain classification model for this architecture, which the adapter in "
                f"{folder} needs; check that this is its base model"
            )
    outputs = choose_outputs(arguments.reward_output, labels, str(folder), is_of_release(config, len(labels)))
    _fit_embeddings(model.classifier, model.language_model.tokenizer, config, folder)
    tuned = _apply(model.classifier, folder, base)
    if config["peft_type"] == "PROMPT_TUNING":
        model = replace(model, virtual_ids=read_virtual_tokens(tuned, model))
        check_room(model.language_model, len(model.virtual_ids))
    readings = read_own(model.language_model, model.head, tuned, str(folder), model.virtual_ids)
    if config["peft_type"] == "LORA" and _merges(model.language_model, arguments.load_in_4bit):
        classifier = tuned.merge_and_unload()
        merged = replace(model.language_model, network=classifier.requires_grad_(False))
        model = replace(model, language_model=merged)
    if doubt := revision_doubt(folder, base):
        model = replace(model, assumptions=(*model.assumptions, doubt))
    return settle(model, readings, outputs, tuned_here, str(folder))


def _load_with_own_head(folder: Path, arguments: TunedModelArguments) -> RewardModel:
    """Load the reward model of an adapter on a causal language model, whose head is in separate files."""
    weight = read_head(folder)
    config = _check_adapter(folder, "CAUSAL_LM")
    outputs = choose_outputs(arguments.reward_output, head_labels(weight), str(folder))
    base = _base_model(folder, arguments)
    language_model = _with_tokenizer(load_base_model(base, arguments, arguments.load_in_4bit), folder)
    _fit_embeddings(language_model.network, language_model.tokenizer, config, folder)
    classifier = put_head(language_model.network, weight, language_model.device, folder)
    model = RewardModel(replace(language_model, network=classifier), outputs=outputs)
    tuned = _apply(language_model.network, folder, base)
    if config["peft_type"] == "PROMPT_TUNING":
        model = replace(model, virtual_ids=read_virtual_tokens(tuned, model))
        check_room(model.language_model, len(model.virtual_ids))
    elif _merges(language_model, arguments.load_in_4bit):
        tuned.merge_and_unload().requires_grad_(False)  # changes the network inside the classifier
    return model


def load_language_adapter(folder: Path, arguments: TunedModelArguments) -> LanguageModel:
    """Load the language model of an adapter that was tuned on log-probabilities, with its base model."""
    model, tuned, _ = load_unmerged(folder, arguments)
    if _merges(model, arguments.load_in_4bit):
        return replace(model, network=tuned.merge_and_unload().requires_grad_(False))
    return model


def load_unmerged(folder: Path, arguments: TunedModelArguments) -> tuple[LanguageModel, Any, Path]:
    """The language model of an adapter that was tuned on log-probabilities, the PEFT model that contains its network,
    whose adapter can be turned off, and the folder of the base model."""
    config = _check_adapter(folder, "CAUSAL_LM")
    if has_head(folder):
        raise InputError(
            f"the adapter in {folder} has a reward head: it was tuned for rewards, not log-probabilities; evaluate it "
            "with the intervention that tuned it"
        )
    base = _base_model(folder, arguments)
    model = _with_tokenizer(load_base_model(base, arguments, arguments.load_in_4bit), folder)
    _fit_embeddings(model.network, model.tokenizer, config, folder)
    return model, _apply(model.network, folder, base), base


def _base_model(folder: Path, arguments: TunedModelArguments) -> Path:
    base = find_base_model(folder, arguments.base_model_dir)
    print(f"base model of {folder}: {base}", file=sys.stderr)
    return base


def _with_tokenizer(model: LanguageModel, folder: Path) -> LanguageModel:
    """The model with the adapter's tokenizer, with which it was tuned, if its folder contains one."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return model
    try:
        return replace(model, tokenizer=load_tokenizer(folder))
    except InputError as fault:
        raise InputError(
            f"{fault}; the adapter's folder contains files of a tokenizer, which the base model's tokenizer must not "
            "replace silently: add the missing files, or remove them all if the base model's tokenizer is the right one"
        ) from None


def _fit_embeddings(network: Any, tokenizer: Any, config: Mapping[str, Any], folder: Path) -> None:
    """Resize the base model's embeddings for the tokens that the adapter added.

    Texts with a token that has no embedding are refused later.
    """
    embedding = network.get_input_embeddings()
    name = next(name for name, module in network.named_modules() if module is embedding)
    shapes = _shapes(folder)
    rows = words = int(embedding.weight.shape[0])
    for end in ("weight", "base_layer.weight"):
        rows = shapes.get(f"base_model.model.{name}.{end}", [rows])[0]
    if any(index >= words for index in _trainable_tokens(config)):
        rows = len(tokenizer)  # like AutoPeftModel, before it loads the tuned rows
    if rows == words:
        return
    network.resize_token_embeddings(rows, mean_resizing=False)
    head = network.get_output_embeddings()
    if head is None or head.weight is network.get_input_embeddings().weight:
        return
    name = next(name for name, module in network.named_modules() if module is head)
    if not any(key.startswith(f"base_model.model.{name}.") for key in shapes):
        raise InputError(
            f"the adapter in {folder} has {rows:,} embeddings for a base model of {words:,} tokens, but no output "
            "embeddings for the added tokens, so their log-probabilities would be random; save the adapter with them"
        )


def _trainable_tokens(config: Mapping[str, Any]) -> list[int]:
    """Indices of individually tuned embeddings (trainable_token_indices: one list, or one list per layer)."""
    value = config.get("trainable_token_indices") or []
    lists = list(value.values()) if isinstance(value, dict) else [value]
    return [index for each in lists if isinstance(each, list) for index in each if isinstance(index, int)]


def _merges(model: LanguageModel, in_4bit: bool) -> bool:
    # With 16 or 4 bits, the sum of weights and adapter would be rounded.
    return model.dtype == torch.float32 and not in_4bit


@offline()
def _apply(network: Any, folder: Path, base: Path) -> Any:
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # _check_tensors raises an error for what PEFT warns about
            tuned = PeftModel.from_pretrained(network, str(folder))
    except Exception as error:  # PEFT raises many types for an invalid configuration
        if is_out_of_memory(error):
            raise
        raise InputError(f"the adapter in {folder} does not fit the base model {base}: {_reason(error)}") from None
    _check_tensors(tuned, folder, base)
    return tuned.eval().requires_grad_(False)


def _check_tensors(tuned: Any, folder: Path, base: Path) -> None:
    """Raise InputError unless the adapter and its file have the same tensors; PEFT leaves missing ones untrained."""
    from peft import get_peft_model_state_dict

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        found = set(file.keys())
    needed = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    known = set(get_peft_model_state_dict(tuned, save_embedding_layers=True))  # embeddings may come with an adapter
    for what, names in (
        ("lacks tensors that the adapter needs", needed - found),
        ("contains tensors that the adapter does not use", found - known),
    ):
        if names:
            raise InputError(
                f"the adapter in {folder} does not fit the base model {base}: {WEIGHTS} {what}: {len(names)}, the "
                f"first {min(names)}; download it again, or choose another base model with --base_model_dir"
            )


def _check_adapter(folder: Path, task: str) -> dict[str, Any]:
    """An adapter's configuration; InputError for an unsupported kind."""
    if (folder / CONFIG).is_file() and not (folder / WEIGHTS).is_file():
        # Checked before anything is loaded, because PEFT would load a pickle instead.
        pickled = f"{folder / PICKLED} is a pickle, which can run code when loaded and is never read; ask its author "
        pickled += f"for {WEIGHTS}, or, if you trust it, convert it elsewhere with PEFT's save_pretrained"
        reason = pickled if (folder / PICKLED).is_file() else "other names and formats are not supported"
        raise InputError(f"the adapter in {folder} has no {WEIGHTS}: {reason}")
    check_model_folder(folder)
    config: dict[str, Any] = read_json(folder / CONFIG, "adapter configuration")
    kind, found = str(config.get("peft_type")), config.get("task_type")
    if kind not in ("LORA", "PROMPT_TUNING"):
        raise InputError(f"{folder / CONFIG}, field peft_type: expected LORA or PROMPT_TUNING, got {kind}")
    if found != task:
        raise InputError(f"{folder / CONFIG}, field task_type: expected {task}, got {found}")
    if config.get("megatron_config"):  # PEFT would import a module named by the configuration
        raise InputError(f"{folder / CONFIG}, field megatron_config: expected null; such adapters are not supported")
    return config


def _reason(error: Exception) -> str:
    """The second line of a torch message whose first line is a heading that ends in a colon, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 and lines[0].endswith(":") else first_line(error)


def _outputs(folder: Path) -> int:
    """The number of outputs of the head saved with an adapter; InputError if there is no head."""
    for name, shape in _shapes(folder).items():
        if len(shape) == 2 and _HEAD.search(name):
            return shape[0]
    raise InputError(f"the adapter in {folder} has no reward head ({' or '.join(HEADS)}); expected a reward model")


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor of an adapter, by name."""
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(f"weights {folder / WEIGHTS} are damaged: {first_line(error)}; download them again") from None
