"""Reward models that are run by their own forward pass: heads on encoders, and models with code of their author's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genies.data.conversation import text_only
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.files import read_json
from genies.lm import model as loading
from genies.lm.capability import first_line
from genies.lm.offline import offline
from genies.methods.training.arguments import PublishedModelArguments
from genies.methods.training.classifier import check_whole
from genies.methods.training.reward_outputs import RewardOutputs, choose_outputs

ENCODERS = ("deberta-v2", "modernbert")
"""The model types of supported encoders: DeBERTa-v2 and v3, ModernBERT."""

OTHER_ENCODERS = (
    "albert", "bert", "big_bird", "camembert", "convbert", "deberta", "distilbert", "electra", "ernie", "esm",
    "eurobert", "flaubert", "fnet", "funnel", "ibert", "layoutlm", "longformer", "luke", "megatron-bert", "mobilebert",
    "mpnet", "nezha", "nystromformer", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm",
    "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod", "yoso",
)  # fmt: skip
"""Model types whose tokens attend to later tokens and that are not supported."""

_BATCH = 8
"""Texts in one padded batch of an encoder."""

Encoded = dict[str, list[int]]


@dataclass(frozen=True)
class OwnForward:
    """A classification model that is run as its author's code runs it."""

    network: Any
    tokenizer: Any
    folder: Path
    outputs: RewardOutputs | None
    """How the reward is computed from the logits; None for a model with code of its author's, whose output named score
    is the reward, or else its only logit."""
    padded: bool
    """Whether texts can be scored in padded batches; otherwise each is scored on its own."""
    context_length: int | None

    @torch.inference_mode()
    def rewards(self, texts: Sequence[Encoded]) -> NDArray[np.float64]:
        """The reward of each encoded text."""
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]["input_ids"]))
        size = _BATCH if self.padded else 1
        found = np.zeros(len(texts))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = self.tokenizer.pad([texts[place] for place in places], return_tensors="pt")
            output = self.network(**{name: each.to(self.network.device) for name, each in batch.items()})
            found[places] = self._reward(output).double().cpu().numpy()
        return found

    def _reward(self, output: Any) -> Any:
        if self.outputs is None:
            score = getattr(output, "score", None)
            score = getattr(output, "logits", None) if score is None else score
            if not isinstance(score, torch.Tensor) or score.numel() != len(score):
                raise InputError(
                    f"{self.folder}: the author's code returns neither an output named score nor logits with one value "
                    "for each text; expected a reward model"
                )
            return score.float().flatten()
        return (output.logits.float() * output.logits.new_tensor(self.outputs.weights, dtype=torch.float32)).sum(-1)

    def encode(self, pairs: Sequence[Pair]) -> dict[tuple[str, str], Encoded]:
        """The texts of pairs as an encoder reads them, prompt and response as two segments, by (prompt, response)."""
        texts = {(question(pair), text) for pair in pairs for text in (pair.best, pair.worse)}
        return {text: dict(self.tokenizer(*text, truncation=False, verbose=False)) for text in sorted(texts)}


def whole(ids: Sequence[int]) -> Encoded:
    """One text without padding."""
    return {"input_ids": list(ids), "attention_mask": [1] * len(ids)}


def question(pair: Pair) -> str:
    """The prompt as one segment: the user's message, or the turns of a conversation separated by blank lines."""
    return text_only(pair.conversation or pair.prompt)


def model_type(folder: Path) -> str:
    """The model type in a folder's config; empty if it names none."""
    config = read_json(folder / "config.json", "model config")
    found = config.get("model_type") if isinstance(config, dict) else None
    return found if isinstance(found, str) else ""


def check_encoder(folder: Path) -> None:
    """Raise InputError for an encoder that is not supported."""
    found = model_type(folder)
    if found in OTHER_ENCODERS:
        raise InputError(
            f"{folder} is an encoder of the type {found}; expected a reward model on a decoder, or on an encoder of "
            f"the type {' or '.join(ENCODERS)} (DeBERTa-v2, DeBERTa-v3, ModernBERT)"
        )


@offline()
def load_own(folder: Path, arguments: PublishedModelArguments, own_code: bool) -> OwnForward:
    """Load a classification model that is run by its own forward pass.

    own_code: run the code in the model's folder, which can do anything; a warning is printed.
    """
    from transformers import AutoModelForSequenceClassification

    check_whole(folder, arguments)
    device = loading.chosen_device(arguments.device)
    dtype = loading.chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    loading.silence_transformers()
    tokenizer = loading.load_tokenizer(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if own_code:
        print(f"warning: --trust_remote_code runs the code of the author of {folder}", file=sys.stderr)
    try:
        network, found = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, trust_remote_code=own_code, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # damaged weights, unknown configurations and foreign code raise many types
        raise InputError(f"the reward model in {folder} cannot be read: {first_line(error)}") from None
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"{folder} is not a reward model: its weights lack {missing[0]}")
    labels = [str(network.config.id2label.get(index, index)) for index in range(network.config.num_labels)]
    outputs = None if own_code else choose_outputs(arguments.reward_output, labels, str(folder))
    return OwnForward(
        network.to(device).eval(),
        tokenizer,
        folder,
        outputs,
        not own_code,
        loading.context_length(network.config),
    )
