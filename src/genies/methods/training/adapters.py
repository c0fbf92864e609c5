"""Create, save and load adapters in PEFT's format."""

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
from genies.methods.training.arguments import LoraArguments, TunedModelArguments
from genies.methods.training.classifier import is_classifier, labels_of, read_classifier, read_own, settle
from genies.methods.training.decoder_head import (
    DecoderWithHead,
    has_head,
    head_labels,
    network_to_adapt,
    put_head,
    read_head,
    save_head,
)
from genies.methods.training.dropout import replace_dropout, stable_number
from genies.methods.training.lora_targets import excluded_modules
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import HEADS, RewardModel, add_head
from genies.methods.training.reward_outputs import choose_outputs, is_of_release
from genies.methods.training.reward_record import is_tuned_here
from genies.methods.training.virtual_tokens import put_in_front

WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

_HEAD = re.compile(rf"(^|\.)({'|'.join(HEADS)})\.weight$")


def add_lora(network: Any, arguments: LoraArguments, base: Path, task: str) -> Any:
    """A PEFT model of `network` with low-rank adapters in the modules that `arguments` select.

    task: SEQ_CLS, with which PEFT tunes and saves the head, too, or CAUSAL_LM. Raises InputError if the default modules
    are requested and PEFT has none for the model's family.
    """
    from peft import LoraConfig

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

    _check_room(model.language_model, count)
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
    tuned = _wrap(network, config, base)
    return tuned, replace(model, virtual_ids=_read_virtual_tokens(tuned, model))


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


def _read_virtual_tokens(tuned: Any, model: RewardModel) -> tuple[int, ...]:
    return put_in_front(model.classifier, tuned.prompt_encoder[tuned.active_adapter].embedding.weight)


def _check_room(model: LanguageModel, virtual_tokens: int) -> None:
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
        model = replace(model, virtual_ids=_read_virtual_tokens(tuned, model))
        _check_room(model.language_model, len(model.virtual_ids))
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
        model = replace(model, virtual_ids=_read_virtual_tokens(tuned, model))
        _check_room(model.language_model, len(model.virtual_ids))
    elif _merges(language_model, arguments.load_in_4bit):
        tuned.merge_and_unload().requires_grad_(False)  # changes the network inside the classifier
    return model


def load_language_adapter(folder: Path, arguments: TunedModelArguments) -> LanguageModel:
    """Load the language model of an adapter that was tuned on log-probabilities, with its base model."""
    config = _check_adapter(folder, "CAUSAL_LM")
    if has_head(folder):
        raise InputError(
            f"the adapter in {folder} has a reward head: it was tuned for rewards, not log-probabilities; evaluate it "
            "with the intervention that tuned it"
        )
    base = _base_model(folder, arguments)
    model = _with_tokenizer(load_base_model(base, arguments, arguments.load_in_4bit), folder)
    _fit_embeddings(model.network, model.tokenizer, config, folder)
    tuned = _apply(model.network, folder, base)
    if _merges(model, arguments.load_in_4bit):
        return replace(model, network=tuned.merge_and_unload().requires_grad_(False))
    return model


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
