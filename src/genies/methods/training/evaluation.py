"""Evaluate tuned models; each response is scored once, and responses to a prompt share a packed row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genies.adapter_base import CONFIG, find_base_model, revision_doubt
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.model import LanguageModel
from genies.lm.scoring import response_log_probabilities
from genies.lm.text import TokenSequence
from genies.lm.text_format import evaluation_format
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.log_probabilities import normalized
from genies.methods.protocol import protocol_of
from genies.methods.responses import EachOnce, encode_pairs
from genies.methods.training.arguments import TunedModelArguments
from genies.methods.training.classifier import is_classifier, load_classifier
from genies.methods.training.decoder_head import has_head
from genies.methods.training.load_adapters import load_adapter, load_language_adapter
from genies.methods.training.pairs import Change
from genies.methods.training.reward_model import RewardModel, rewards
from genies.methods.training.value_head import load_value_head, value_head


def evaluate_rewards(arguments: TunedModelArguments, change: Change | None = None) -> None:
    """Write evaluations with p = softmax of the rewards of a pair's two responses, or of what `change` makes of it."""
    tests = read_tests(arguments)
    model = load_reward_model(arguments)

    def score(sequences: Sequence[TokenSequence]) -> NDArray[np.float64]:
        return rewards(model, [sequence.ids for sequence in sequences], arguments.batch_tokens)

    evaluate_scores(
        arguments,
        tests,
        model.language_model,
        score,
        virtual_tokens=len(model.virtual_ids),
        assumptions=model.assumptions,
        whole_reward_model=not (arguments.model_dir / CONFIG).is_file(),
        change=change,
    )


def evaluate_log_probabilities(arguments: TunedModelArguments) -> None:
    """Write evaluations with p = softmax of the mean log-probabilities of a pair's two responses."""
    tests = read_tests(arguments)
    if arguments.reward_output is not None:
        raise InputError(
            "--reward_output is for reward models, but this intervention scores log-probabilities; leave it out"
        )
    model = load_language_adapter(arguments.model_dir, arguments)
    evaluate_scores(arguments, tests, model, normalized(response_log_probabilities, model, arguments.batch_tokens))


def load_reward_model(arguments: TunedModelArguments) -> RewardModel:
    """The reward model in --model_dir: an adapter with its base model, a language model with a value head, or a whole
    classification model."""
    if (arguments.model_dir / CONFIG).is_file():
        return load_adapter(arguments.model_dir, arguments)
    language_model = not has_head(arguments.model_dir) and not is_classifier(arguments.model_dir)
    if language_model and (head := value_head(arguments.model_dir)):
        return load_value_head(arguments.model_dir, head, arguments)
    return load_classifier(arguments.model_dir, arguments)


def read_tests(arguments: TunedModelArguments) -> list[list[Any]]:
    """The test pairs of every distribution; called before a model is loaded, so that bad data is reported early."""
    return [pairs(Distribution(folder).split("test", arguments.max_examples)) for folder in arguments.distribution_dirs]


def evaluate_scores(
    arguments: TunedModelArguments,
    tests: list[list[Any]],
    model: LanguageModel,
    score: Callable[[Sequence[TokenSequence]], NDArray[np.float64]],
    *,
    virtual_tokens: int = 0,
    assumptions: Sequence[str] | None = None,
    whole_reward_model: bool = False,
    change: Change | None = None,
) -> None:
    """Write evaluations with p = softmax of the scores of a pair's two responses.

    assumptions: about a reward model (default: about the revision of an adapter's base model). With `change`, the texts
    are those of the changed pairs, and the file contains no scores of single responses.
    """
    text_format = evaluation_format(
        arguments, arguments.model_dir, model.tokenizer, arguments.allow_format_change, whole_reward_model
    )
    room = None if model.context_length is None else model.context_length - virtual_tokens
    scores = EachOnce(score)
    if assumptions is None:
        doubt = revision_doubt(arguments.model_dir, find_base_model(arguments.model_dir, arguments.base_model_dir))
        assumptions = [doubt] if doubt else []
    assumed = {"assumptions": list(assumptions)} if assumptions else {}
    extra: dict[str, Any] = {**model.description, **text_format.description(), **protocol_of(arguments), **assumed}

    def evaluate_one(folder: Path, path: Path, test: list[Any]) -> None:
        encoded = encode_pairs(model.tokenizer, room, change(test) if change else test, folder, text_format)
        scores.learn(encoded.best + encoded.worse)
        found = scores(encoded.best), scores(encoded.worse)
        kept = [pair for pair in test if pair.example_index not in encoded.left_out]
        given = None if change else found
        write_evaluation(path, folder, kept, softmax_of_pair(*found), encoded.left_out, extra, given)

    for_each_distribution(arguments, tests, evaluate_one)
