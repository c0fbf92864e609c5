"""Load whole reward models, tuned here or published, and check them against their own forward passes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.files import read_json
from genies.lm import model as loading
from genies.lm.arguments import ModelArguments
from genies.lm.attention import attending
from genies.lm.capability import check_network, find_decoder, first_line
from genies.lm.model import LanguageModel
from genies.lm.offline import offline
from genies.lm.packing import pack
from genies.lm.placement import check_placement, input_device, loading_options, too_large
from genies.lm.plausibility import check_weights
from genies.lm.text import end_of_text
from genies.methods.training.arguments import TunedModelArguments
from genies.methods.training.decoder_head import has_head, head_labels, put_head, read_head
from genies.methods.training.reading_place import Reading, passed_over_token, read_probes
from genies.methods.training.reward_model import HEADS, RewardModel, agrees, find_head
from genies.methods.training.reward_outputs import RewardOutputs, choose_outputs
from genies.methods.training.reward_record import is_tuned_here

_CLASSIFIER = "ForSequenceClassification"

_WITHOUT_EFFECT = re.compile(r"(^|\.)(lm_head|embed_out)\.|\.rotary_emb\.inv_freq$|\.(masked_)?bias$")
"""Tensors that a classification model does not need: a language-model head, and buffers stored by old versions."""


def load_classifier(folder: Path, arguments: TunedModelArguments) -> RewardModel:
    """Load the whole reward model in a folder, from full fine-tuning or published.

    Raises InputError if it is not a reward model, or if the reward cannot be determined from its outputs.
    """
    if has_head(folder):
        return _load_with_own_head(folder, arguments)
    model, readings = read_classifier(folder, arguments)
    outputs = choose_outputs(arguments.reward_output, labels_of(model.classifier.config), str(folder))
    return settle(model, readings, outputs, is_tuned_here(folder), str(folder))


def _load_with_own_head(folder: Path, arguments: TunedModelArguments) -> RewardModel:
    """Load a whole causal language model from full fine-tuning, whose head is in separate files."""
    weight = read_head(folder)
    outputs = choose_outputs(arguments.reward_output, head_labels(weight), str(folder))
    check_whole(folder, arguments, spreads=True)
    model = loading.load_model(folder, arguments, of_transformers=True)
    classifier = put_head(model.network, weight, model.device, folder)
    return RewardModel(replace(model, network=classifier), outputs=outputs)


def check_whole(folder: Path, arguments: ModelArguments, spreads: bool = False) -> None:
    """Raise InputError unless the folder contains all weights and the arguments suit the model.

    spreads: whether the model can be on several devices.
    """
    check_weights(folder)
    if arguments.quantization != "none":
        raise InputError(
            f"{folder} is a whole reward model, which is not quantized; leave out --quantization "
            f"{arguments.quantization}"
        )
    if arguments.device_map != "none" and not spreads:
        raise InputError(f"the reward model in {folder} runs on one device; leave out --device_map")


def read_classifier(folder: Path, arguments: ModelArguments) -> tuple[RewardModel, list[Reading]]:
    """Load a whole classification model; returns it with the readings of its own forward passes."""
    check_whole(folder, arguments, spreads=True)
    device = loading.chosen_device(arguments.device)
    dtype = loading.chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    loading.silence_transformers()
    tokenizer = loading.load_tokenizer(folder)
    named = _check_architecture(folder)
    options = loading_options(arguments, device, dtype)
    classifier = _classifier(folder, dtype, options)
    check_placement(classifier, folder)
    if options:
        device = input_device(classifier)
    else:
        classifier = classifier.to(device)
    model, readings = wrap_classifier(classifier, tokenizer, folder, device, dtype)
    kind = type(model.classifier).__name__
    if named is not None and named != kind:
        model = replace(model, assumptions=(f"its config names the architecture {named}, and it is read as {kind}",))
    elif has_own_code(folder):
        said = f"its config names code of its author's for it, which is not run, and it is read as transformers' {kind}"
        model = replace(model, assumptions=(said,))
    return model, readings


def wrap_classifier(
    classifier: Any, tokenizer: Any, folder: Path, device: torch.device, dtype: torch.dtype
) -> tuple[RewardModel, list[Reading]]:
    """A classification model in memory, its head turned to float32, and what its own forward passes gave.

    `folder` is its name in messages.
    """
    head = find_head(classifier).float()
    decoder = find_decoder(classifier)
    language_model = LanguageModel(
        classifier,
        decoder,
        tokenizer,
        folder,
        device,
        dtype,
        loading.context_length(classifier.config),
        packs=False,
        plain_head=False,
    )
    readings = read_own(language_model, head, classifier, str(folder))
    found = check_network(classifier, str(folder))
    return RewardModel(replace(language_model, packs=found.packs, pads=found.pads)), readings


def is_classifier(folder: Path) -> bool:
    """Whether a model folder contains a classification model, not a language model."""
    name = _architecture(folder)
    return name is not None and name.endswith(_CLASSIFIER)


def read_own(
    model: LanguageModel, head: Any, network: Any, name: str, virtual_ids: Sequence[int] = ()
) -> list[Reading]:
    """Readings of the own forward passes of `network`, a classification model or an adapter on one, for texts that end
    in the pad token, in the end-of-text token, and in neither."""

    def run(ids: Tensor) -> Any:
        row = pack([[*virtual_ids, *ids[0].tolist()]])
        with attending(row) if model.packs else nullcontext():
            return network(input_ids=ids.to(model.device), use_cache=False)

    words = model.network.get_input_embeddings().weight.shape[0] - len(virtual_ids)
    special = [end_of_text(model.tokenizer), *_padding(model.network.config)]
    return read_probes(run, head, special, words, len(virtual_ids), name)


def settle(
    model: RewardModel, readings: Sequence[Reading], outputs: RewardOutputs, tuned_here: bool, name: str
) -> RewardModel:
    """The reward model that reads the same token as its own forward passes, or the last token if it was tuned here.

    Raises InputError if the outputs computed here are not those of its own forward passes.
    """
    if not agrees(model, readings):
        raise InputError(
            f"{name} does not compute its outputs with a linear head on the last hidden states; expected a reward "
            "model of a decoder, like those of full_fine_tune"
        )
    assumptions = [*model.assumptions, *([outputs.assumption] if outputs.assumption else [])]
    tokenizer = model.language_model.tokenizer
    passed_over = None if tuned_here else passed_over_token(readings, _padding(model.classifier.config), name)
    if passed_over is not None and passed_over == end_of_text(tokenizer):
        assumptions.append(
            f"it reads the token before the end-of-text token {tokenizer.eos_token}, which is its config's pad token, "
            "as its own forward pass does"
        )
    return replace(model, outputs=outputs, passed_over=passed_over, assumptions=tuple(assumptions))


def labels_of(config: Any) -> list[str]:
    """The names of a classification model's outputs, in order."""
    return [str(config.id2label.get(index, f"LABEL_{index}")) for index in range(config.num_labels)]


def _padding(config: Any) -> list[int | None]:
    """The pad tokens in a config, of its text part and of the whole model."""
    found = (config.get_text_config().pad_token_id, getattr(config, "pad_token_id", None))
    return [each if isinstance(each, int) else None for each in found]


def _architecture(folder: Path) -> str | None:
    config = read_json(folder / "config.json", "model config")
    names = config.get("architectures") if isinstance(config, dict) else None
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def has_own_code(folder: Path) -> bool:
    """Whether the config of a folder names code of its author's for a classification model."""
    names = read_json(folder / "config.json", "model config").get("auto_map")
    return isinstance(names, dict) and "AutoModelForSequenceClassification" in names


def _check_architecture(folder: Path) -> str | None:
    """The architecture in the folder's config; InputError if its head is of another kind."""
    import transformers

    name = _architecture(folder)
    if name is None or name.endswith((_CLASSIFIER, "ForCausalLM")):  # the latter fails later, for lack of a head
        return name
    if "For" in name and hasattr(transformers, name):
        raise InputError(
            f"{folder} contains a {name}, which does not score whole texts; expected a reward model (...{_CLASSIFIER})"
        )
    return name


@offline()
def _classifier(folder: Path, dtype: torch.dtype, options: Mapping[str, Any]) -> Any:
    from transformers import AutoModelForSequenceClassification

    try:
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True, **options,
        )  # fmt: skip
    except Exception as error:  # damaged weights and unknown configurations raise many types
        if options and "dispatched on the CPU or the disk" in str(error):
            raise too_large(folder) from None
        raise InputError(
            f"the reward model in {folder} cannot be read: {first_line(error)}; expected a folder that train.py wrote "
            "or a published reward model"
        ) from None
    classifier, found = loaded
    foreign = sorted(name for name in found["unexpected_keys"] if not _WITHOUT_EFFECT.search(name) or _of_head(name))
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"{folder} is not a reward model: its weights lack {missing[0]}; expected a folder that train.py wrote "
            "or a published model with a reward head"
        )
    if foreign:
        raise InputError(
            f"{folder}: {type(classifier).__name__} does not use {len(foreign)} of the tensors in its weights, the "
            f"first {foreign[0]}; rewards without them would be wrong; expected weights of that architecture"
        )
    loading.name_outputs(classifier.config)
    return classifier.eval().requires_grad_(False)


def _of_head(name: str) -> bool:
    return name.startswith(HEADS)
