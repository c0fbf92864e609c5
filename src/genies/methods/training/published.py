"""Evaluate published reward models of every supported kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genies.adapter_base import CONFIG
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.model import describe
from genies.lm.text_format import evaluation_format
from genies.methods.base_model import base_model_dir
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.example_metrics import Scores
from genies.methods.protocol import protocol_of
from genies.methods.responses import EachOnce, encode_pairs, fitting, too_long
from genies.methods.training.arguments import PublishedModelArguments
from genies.methods.training.classifier import has_own_code
from genies.methods.training.evaluation import evaluate_rewards
from genies.methods.training.own_forward import (
    ENCODERS,
    OwnForward,
    check_encoder,
    load_own,
    model_type,
    question,
    whole,
)


def evaluate_published(arguments: PublishedModelArguments, tests: Sequence[list[Pair]]) -> None:
    """Write evaluations with p = softmax of the rewards of a pair's two responses.

    --model_dir is the reward model, or the folder that train.py wrote for it. Raises InputError for a folder that is no
    reward model, or of an unsupported kind.
    """
    folder = _reward_model(arguments.model_dir)
    own_code = arguments.trust_remote_code and not (folder / CONFIG).is_file() and has_own_code(folder)
    if arguments.trust_remote_code and not own_code:
        raise InputError(f"--trust_remote_code True: the config of {folder} names no code; leave the argument out")
    if own_code or (not (folder / CONFIG).is_file() and model_type(folder) in ENCODERS):
        _evaluate_own(arguments, load_own(folder, arguments, own_code), tests)
        return
    if not (folder / CONFIG).is_file():
        check_encoder(folder)
    evaluate_rewards(arguments.model_copy(update={"model_dir": folder}))


def _reward_model(model_dir: Path) -> Path:
    """The folder itself if it contains a model or an adapter, else the one that train.py recorded in it."""
    whole = (model_dir / "config.json").is_file() or (model_dir / CONFIG).is_file()
    return model_dir if whole else base_model_dir(model_dir)


def _evaluate_own(arguments: PublishedModelArguments, model: OwnForward, tests: Sequence[list[Pair]]) -> None:
    """Evaluate a model that is run by its own forward pass; each text is scored once."""
    text_format = evaluation_format(arguments, model.folder, model.tokenizer, True, True)
    segments = model.padded and text_format.name == "raw"
    described = {"prompt_format": "segments"} if segments else text_format.description()
    extra = {**describe(model.network.dtype, model.network.device), **described, **protocol_of(arguments)}
    scores = EachOnce(lambda sequences: model.rewards([whole(sequence.ids) for sequence in sequences]))

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        if segments:
            kept, found, out = _in_segments(model, test, folder)
        else:
            encoded = encode_pairs(model.tokenizer, model.context_length, test, folder, text_format)
            scores.learn(encoded.best + encoded.worse)
            kept, out = encoded.pairs, encoded.left_out
            found = scores(encoded.best), scores(encoded.worse)
        write_evaluation(path, folder, kept, softmax_of_pair(*found), out, extra, found)

    for_each_distribution(arguments, tests, evaluate_one)


def _in_segments(model: OwnForward, pairs: list[Pair], source: Path) -> tuple[list[Pair], Scores, tuple[int, ...]]:
    """The pairs of examples whose texts fit into the context, their rewards, and the indices of the other examples."""
    texts = model.encode(pairs)
    lengths = {text: len(encoded["input_ids"]) for text, encoded in texts.items()}
    kept, out = fitting(pairs, lambda pair, text: too_long(lengths[question(pair), text], model.context_length), source)
    wanted = dict.fromkeys((question(pair), text) for pair in kept for text in (pair.best, pair.worse))
    rewards = dict(zip(wanted, model.rewards([texts[text] for text in wanted]), strict=True))
    best = np.array([rewards[question(pair), pair.best] for pair in kept])
    return kept, (best, np.array([rewards[question(pair), pair.worse] for pair in kept])), out
