"""Reward models: a decoder with a linear head, whose outputs at one token of a sequence give its reward."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genies.errors import InputError
from genies.lm.forward import Batch, check_ids, hidden_states, run_batches
from genies.lm.model import LanguageModel
from genies.methods.training.decoder_head import DecoderWithHead, head_width
from genies.methods.training.dropout import stable_number
from genies.methods.training.reading_place import Reading, last_place
from genies.methods.training.reward_outputs import ONE, RewardOutputs

HEADS = ("score", "classifier")
"""Names of the head of a classification model in transformers."""


@dataclass(frozen=True)
class RewardModel:
    """A classification model of transformers, with or without an adapter."""

    language_model: LanguageModel
    """Its network is the classification model."""
    virtual_ids: tuple[int, ...] = ()
    """Ids of the virtual tokens before every sequence."""
    outputs: RewardOutputs = ONE
    """How the reward is computed from the head's outputs."""
    passed_over: int | None = None
    """The reward is read at the last token that is not this one; None for the last token, as in models tuned here."""
    assumptions: tuple[str, ...] = ()
    """Assumptions about what the model's files do not specify, one sentence each."""

    @property
    def classifier(self) -> Any:
        """The classification model."""
        return self.language_model.network

    @property
    def head(self) -> Any:
        """The module that maps hidden states [tokens, width] to outputs [tokens, outputs]."""
        return find_head(self.classifier)


def find_head(classifier: Any) -> Any:
    """The head of a classification model; InputError if it is not a plain linear layer."""
    for name in HEADS:
        head = getattr(classifier, name, None)
        # PEFT wraps a tuned head.
        if isinstance(head, nn.Linear) or isinstance(getattr(head, "original_module", None), nn.Linear):
            return head
    raise InputError(f"{type(classifier).__name__} has no linear head; expected one of {', '.join(HEADS)}")


def add_head(
    model: LanguageModel, seed: int, outputs: int = 1, own_padding: bool = False, keep_language_head: bool = False
) -> RewardModel:
    """A reward model: a language model's decoder and a new head with `outputs` outputs, float32, drawn with `seed`.

    The language-model head is dropped, except with `keep_language_head` or if transformers has no plain classification
    model for the architecture.
    The pad token in the config is one that never ends a sequence; with `own_padding`, it is that of the language
    model's config.
    """
    config = copy.deepcopy(model.network.config)
    config.num_labels = outputs
    if not own_padding:
        config.get_text_config().pad_token_id = padding_id(model.tokenizer, model.network)
    width = head_width(model.network)
    generator = torch.Generator().manual_seed(stable_number(f"head {seed}"))
    head = nn.Linear(width, outputs, bias=False)
    nn.init.normal_(head.weight, std=getattr(config.get_text_config(), "initializer_range", 0.02), generator=generator)
    head = head.to(model.device)
    classifier = None if keep_language_head else _classification_model(model.network, config, head)
    classifier = classifier or DecoderWithHead(model.network, head)
    return RewardModel(replace(model, network=classifier.eval().requires_grad_(False)))


def _classification_model(network: Any, config: Any, head: nn.Linear) -> Any:
    """The classification model of transformers for a language model, with its decoder and this head.

    None if there is none, or if it consists of more than a decoder and a linear head.
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
    # Parts that the language model lacks would be uninitialized (Phi-MoE, ModernBERT's decoder).
    if any(each.is_meta for each in (*classifier.parameters(), *classifier.buffers())):
        return None
    return classifier


def padding_id(tokenizer: Any, network: Any) -> int:
    """A token that never ends a sequence, with which transformers finds the last token of a padded sequence.

    With the end-of-text token, with which many tokenizers pad, it would read one token too early.
    """
    end = tokenizer.eos_token_id
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, 0, 1)
    words = network.get_input_embeddings().weight.shape[0]  # some tokenizers have tokens that the model lacks
    return next(int(each) for each in named if each is not None and each != end and each < words)


def head_outputs(model: RewardModel, hidden: Tensor) -> Tensor:
    """Outputs [tokens, outputs], float32, of hidden states [tokens, width], on the device of the head."""
    hidden = hidden.to(linear_head(model.head).weight.device)
    with torch.autocast(hidden.device.type, enabled=False):
        outputs: Tensor = model.head(hidden.float())
    return outputs


def rewards_at(model: RewardModel, batch: Batch, places: Tensor) -> Tensor:
    """Rewards [places], float32, of the tokens at `places`, a tensor on the CPU, of the flattened batch."""
    outputs = head_outputs(model, hidden_states(model.language_model, batch)[places])
    return (outputs * outputs.new_tensor(model.outputs.weights)).sum(-1)


def rewards(
    model: RewardModel,
    sequences: Sequence[Sequence[int]],
    batch_tokens: int | None = None,
    label: str = "scoring",
) -> NDArray[np.float64]:
    """The reward of each token sequence, read at its last token that is not `model.passed_over`."""
    check_ids(model.language_model, sequences, len(model.virtual_ids))
    found = np.zeros(len(sequences))

    def score(batch: Batch) -> None:
        read = [
            where[len(model.virtual_ids) + last_place(sequences[index], model.passed_over)]
            for index, where in zip(batch.sequences, batch.places, strict=True)
        ]
        found[batch.sequences] = rewards_at(model, batch, torch.tensor(read)).double().cpu().numpy()

    run_batches(model.language_model, _with_virtual(model, sequences), score, batch_tokens, label)
    return found


def agrees(model: RewardModel, readings: Sequence[Reading]) -> bool:
    """Whether the outputs computed here equal those of the model's own forward passes, except for rounding."""
    weight = linear_head(model.head).weight
    agreed: list[bool] = []

    def compare(batch: Batch) -> None:
        for index, where in zip(batch.sequences, batch.places, strict=True):
            reading = readings[index]
            hidden = hidden_states(model.language_model, batch)[where[len(model.virtual_ids) + reading.place]]
            hidden = hidden.to(weight.device)  # with device_map, the last block may be on another device
            # Outputs are sums whose terms may cancel: the rounding error is relative to the sum of absolute terms.
            largest = nn.functional.linear(hidden.abs().float(), weight.abs().float())
            tolerance = 1e-4 if hidden.dtype == torch.float32 else 2e-2
            difference = (head_outputs(model, hidden) - reading.outputs.to(hidden.device)).abs()
            agreed.append(bool((difference <= tolerance * largest).all()))

    run_batches(model.language_model, _with_virtual(model, [each.ids for each in readings]), compare, None, "checking")
    return all(agreed)


def _with_virtual(model: RewardModel, sequences: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    return [(*model.virtual_ids, *sequence) for sequence in sequences]


def linear_head(head: Any) -> Any:
    """The linear layer of a head, unwrapped if PEFT wraps it."""
    wrapped = getattr(head, "modules_to_save", None)
    return head if wrapped is None else wrapped[head.active_adapters[0]]
