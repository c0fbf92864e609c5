"""Scores of the two responses of pairs, under a model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError, speaks_of_arguments
from genies.library.models import as_before, borrowed, check_tokenizer, name_of, plain_network
from genies.library.texts import encode_texts
from genies.lm.model import LanguageModel
from genies.lm.placement import input_device
from genies.lm.scoring import response_log_probabilities
from genies.methods.evaluation import softmax_of_pair
from genies.methods.training.classifier import labels_of, settle, wrap_classifier
from genies.methods.training.reward_model import RewardModel, find_head, rewards
from genies.methods.training.reward_outputs import choose_outputs

Method = Literal["log_probability", "reward"]


@dataclass(frozen=True)
class PairScores:
    """A score of each response; higher is better.

    >>> scores = PairScores(best=np.array([2.0, 0.0]), worse=np.array([2.0, 1.0]))
    >>> scores.probabilities.round(3)
    array([0.5  , 0.269])
    """

    best: NDArray[np.float64]
    """[pairs], in the order of the pairs."""
    worse: NDArray[np.float64]
    best_tokens: NDArray[np.int64] | None = None
    """[pairs], the number of tokens of each best response, its end-of-text or end-of-turn token included."""
    worse_tokens: NDArray[np.int64] | None = None

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """p(best) [pairs], in [0, 1]: the softmax over the two scores. What genies.metrics takes."""
        return softmax_of_pair(self.best, self.worse)


@speaks_of_arguments
def score_pairs(
    model: Any,
    pairs: Sequence[Pair],
    *,
    tokenizer: Any = None,
    method: Method = "log_probability",
    normalization: Literal["mean", "sum"] = "mean",
    reward_output: str | None = None,
    prompt_format: Literal["raw", "chat"] = "raw",
    system_prompt: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    progress: bool = False,
) -> PairScores:
    """Score both responses of each pair.

    model: a model of genies.load_model, or a transformers model with its `tokenizer`, which is afterwards as it was
    before. method: log_probability is that of the response's tokens given the prompt, the end-of-text token included
    (natural logarithm, at most 0); reward is the output of a sequence-classification model. normalization: of a
    log-probability, the mean over the tokens or their sum. reward_output: of a head with several outputs, a label, an
    index, mean or difference. prompt_format: raw writes prompt and response one after the other; chat has the
    tokenizer's chat template render the conversation, in which a prompt that is a text is the user's message.
    system_prompt: system message of conversations without one. chat_template_kwargs: variables of the template.
    batch_tokens: tokens in one forward pass (default: 1,024 on a CPU, 4,096 on a GPU).

    The scores are those of `zero_shot` and `lora_fine_tune`: they do not depend on the batch, the order of responses or
    the padding. Raises InputError for a text that does not fit into the model's context.

    >>> pair = genies.Pair(0, prompt="The capital of France is", best=" Paris", worse=" Rome")
    >>> genies.score_pairs(model, [pair]).probabilities  # doctest: +SKIP
    array([0.9])
    """
    chat = (prompt_format, system_prompt, chat_template_kwargs)
    if method == "log_probability":
        if reward_output is not None:
            raise InputError("reward_output: only method='reward' has outputs to choose from")
        if normalization not in ("mean", "sum"):
            raise InputError(f"normalization: expected 'mean' or 'sum', got {normalization!r}")
        with borrowed(model, tokenizer) as language_model:
            texts = encode_texts(language_model.tokenizer, language_model.context_length, pairs, *chat)
            label = "scoring" if progress else ""
            totals, counts = response_log_probabilities(language_model, texts.sequences, batch_tokens, label)
        found = totals / counts if normalization == "mean" else totals
    elif method == "reward":
        with _reward_model(model, tokenizer, reward_output) as reward_model:
            language_model = reward_model.language_model
            texts = encode_texts(language_model.tokenizer, language_model.context_length, pairs, *chat)
            ids = [sequence.ids for sequence in texts.sequences]
            found = rewards(reward_model, ids, batch_tokens, "scoring" if progress else "")
    else:
        raise InputError(f"method: expected 'log_probability' or 'reward', got {method!r}")
    if not np.isfinite(found).all():
        raise InputError("model: it gives scores that are not numbers; load it in float32")
    lengths = np.array([len(sequence.response) for sequence in texts.sequences], dtype=np.int64)
    return PairScores(found[texts.best], found[texts.worse], lengths[texts.best], lengths[texts.worse])


@contextmanager
def _reward_model(model: Any, tokenizer: Any, output: str | None) -> Iterator[RewardModel]:
    if isinstance(model, LanguageModel):
        raise InputError(
            "model: method='reward' takes a sequence-classification model of transformers and its tokenizer, got a "
            "language model"
        )
    network = plain_network(model)
    check_tokenizer(tokenizer)
    name = name_of(network)
    head = find_head(network)
    outputs = choose_outputs(output, labels_of(network.config), name)
    head_dtype = next(head.parameters()).dtype
    with as_before(network):
        try:
            wrapped, readings = wrap_classifier(network, tokenizer, Path(name), input_device(network), network.dtype)
            yield settle(wrapped, readings, outputs, False, name)
        finally:
            head.to(head_dtype)
