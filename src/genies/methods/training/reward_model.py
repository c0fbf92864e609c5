"""A reward model: a decoder with a linear head that gives one number at a sequence's last token."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.capability import check_network, find_decoder, first_line
from genies.lm.forward import Batch, hidden_states, run_batches
from genies.lm.model import LanguageModel
from genies.methods.training.decoder_head import DecoderWithHead, has_head, head_width, put_head, read_head
from genies.methods.training.dropout import stable_number

HEADS = ("score", "classifier")
"""What transformers calls the head of a classification model."""


@dataclass(frozen=True)
class RewardModel:
    """A classification model of transformers, with or without an adapter.

    The reward is its one output; of a model with several, as the adapters of the 2023 release, the mean of them.
    """

    language_model: LanguageModel
    """Its network is the classification model."""
    virtual_ids: tuple[int, ...] = ()
    """Ids of the virtual tokens that stand before every sequence."""

    @property
    def classifier(self) -> Any:
        """The classification model."""
        return self.language_model.network

    @property
    def head(self) -> Any:
        """Hidden states [tokens, width] to outputs [tokens, outputs]."""
        return find_head(self.classifier)


def find_head(classifier: Any) -> Any:
    """The head of a classification model; InputError where it is not a plain linear layer."""
    for name in HEADS:
        head = getattr(classifier, name, None)
        # PEFT wraps a head that is tuned.
        if isinstance(head, nn.Linear) or isinstance(getattr(head, "original_module", None), nn.Linear):
            return head
    raise InputError(f"{type(classifier).__name__} has no linear head; expected one of {', '.join(HEADS)}")


def add_head(model: LanguageModel, seed: int, outputs: int = 1) -> RewardModel:
    """A reward model of a language model's decoder and a new head with `outputs` outputs, float32, drawn with `seed`.

    The language-model head is left behind, but for models of which transformers has no plain classification model.
    """
    config = copy.deepcopy(model.network.config)
    config.num_labels = outputs
    config.get_text_config().pad_token_id = padding_id(model.tokenizer, model.network)
    width = head_width(model.network)
    generator = torch.Generator().manual_seed(stable_number(f"head {seed}"))
    head = nn.Linear(width, outputs, bias=False)
    nn.init.normal_(head.weight, std=getattr(config.get_text_config(), "initializer_range", 0.02), generator=generator)
    head = head.to(model.device)
    classifier = _classification_model(model.network, config, head) or DecoderWithHead(model.network, head)
    return RewardModel(replace(model, network=classifier.eval().requires_grad_(False)))


def _classification_model(network: Any, config: Any, head: nn.Linear) -> Any:
    """The classification model that transformers has for a language model, with its decoder and this head.

    None where it has none, or has one that is more than a decoder and a linear head.
    """
    from transformers import AutoModelForSequenceClassification

    try:
        with torch.device("meta"):
            classifier: Any = AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        return None
    name = next((name for name in HEADS if isinstance(getattr(classifier, name, None), nn.Linear)), None)
    if name is None or getattr(classifier, name).in_features != head.in_features:
        return None
    setattr(classifier, classifier.base_model_prefix, network.base_model)
    setattr(classifier, name, head)
    # Parts that the language model does not have would hold no values (Phi-MoE, ModernBERT's decoder).
    if any(each.is_meta for each in (*classifier.parameters(), *classifier.buffers())):
        return None
    return classifier


def padding_id(tokenizer: Any, network: Any) -> int:
    """A token that never ends a sequence: by it transformers tells the last token of a padded sequence.

    The end-of-text token, which many tokenizers pad with, would make it read one token too early.
    """
    end = tokenizer.eos_token_id
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, 0, 1)
    words = network.get_input_embeddings().weight.shape[0]  # some tokenizers name a token that the model lacks
    return next(int(each) for each in named if each is not None and each != end and each < words)


def tell_outputs(folder: Path, outputs: int) -> None:
    """Say how a reward comes from several outputs."""
    if outputs > 1:
        print(f"{folder} has {outputs} outputs: its reward is their mean", file=sys.stderr)


def rewards_at(model: RewardModel, batch: Batch, places: Tensor) -> Tensor:
    """Rewards [places], float32, of the tokens at `places` of the flattened batch."""
    hidden = hidden_states(model.language_model, batch)[places]
    with torch.autocast(hidden.device.type, enabled=False):
        outputs: Tensor = model.head(hidden.float())
    return outputs.mean(-1)


def rewards(
    model: RewardModel, sequences: Sequence[Sequence[int]], batch_tokens: int | None = None
) -> NDArray[np.float64]:
    """The reward of each token sequence, at its last token."""
    found = np.zeros(len(sequences))

    def score(batch: Batch) -> None:
        last = torch.tensor([places[-1] for places in batch.places], device=model.language_model.device)
        found[batch.sequences] = rewards_at(model, batch, last).double().cpu().numpy()

    with_virtual = [(*model.virtual_ids, *sequence) for sequence in sequences]
    run_batches(model.language_model, with_virtual, score, batch_tokens, "scoring")
    return found


def load_classifier(folder: Path, arguments: ModelArguments) -> RewardModel:
    """The reward model in a folder of its own, as full fine-tuning leaves it; InputError when it is none."""
    from genies.lm import model as loading

    loading.check_weights(folder)
    if arguments.device_map != "none" or arguments.quantization != "none":
        raise InputError(
            f"{folder} is a whole reward model, which runs on one device as it was saved; leave out --device_map and "
            "--quantization"
        )
    if has_head(folder):
        model = loading.load_model(folder, arguments)
        return RewardModel(replace(model, network=put_head(model.network, read_head(folder), model.device, folder)))
    device = loading.chosen_device(arguments.device)
    dtype = loading.chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    loading.silence_transformers()
    tokenizer = loading.load_tokenizer(folder)
    classifier = _read_classifier(folder, dtype).to(device)
    head = find_head(classifier)
    classifier.config.get_text_config().pad_token_id = padding_id(tokenizer, classifier)
    limit = getattr(classifier.config.get_text_config(), "max_position_embeddings", None)
    decoder = find_decoder(classifier)
    _check_rewards(classifier, decoder, head, folder)
    found = check_network(classifier, str(folder))
    head.float()  # for rewards_at alone: the model's own forward pass takes one number format
    return RewardModel(
        LanguageModel(classifier, decoder, tokenizer, folder, device, dtype, limit, found.packs, False, found.pads)
    )


@torch.inference_mode()
def _check_rewards(classifier: Any, decoder: Any, head: nn.Linear, folder: Path) -> None:
    """InputError unless the model's own outputs for a short sequence are its head's of the last hidden state."""
    padding = classifier.config.get_text_config().pad_token_id
    size = classifier.get_input_embeddings().weight.shape[0]
    ids = [token for step in range(9) if (token := (7919 * step + 13) % size) != padding]
    given = torch.tensor([ids], device=classifier.device)
    try:
        theirs = classifier(input_ids=given).logits[0].float()
        last = decoder(input_ids=given).last_hidden_state[0, -1]
    except Exception as error:  # whatever a model of another make does
        raise InputError(f"{folder} holds no reward model that can be run: {first_line(error)}") from None
    ours = head(last).float()
    # What rounding can do to the sums that the outputs are, whatever cancels in them.
    largest = torch.nn.functional.linear(last.abs().float(), head.weight.abs().float())
    tolerance = 1e-4 if last.dtype == torch.float32 else 1e-2
    if theirs.shape != ours.shape or bool(((theirs - ours).abs() > tolerance * largest).any()):
        raise InputError(
            f"{folder}: {type(classifier).__name__} makes its outputs in another way than by a linear head at the last "
            "token; expected a reward model of a decoder, as full_fine_tune leaves one"
        )


def _read_classifier(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForSequenceClassification

    try:
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # damaged weights and foreign configurations raise nearly every kind
        raise InputError(f"{folder} holds no reward model that can be read: {first_line(error)}") from None
    classifier, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        raise InputError(
            f"{folder} is no reward model: its weights lack {missing[0]}; expected a folder that train.py made or a "
            "published model with a reward head"
        )
    tell_outputs(folder, classifier.config.num_labels)
    return classifier.eval().requires_grad_(False)
