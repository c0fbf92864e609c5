"""Evaluate published reward models of every supported kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from genies.adapter_base import CONFIG
from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.model import describe
from genies.lm.text_format import TextFormat, evaluation_format
from genies.methods.base_model import base_model_dir
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import softmax_of_pair, write_evaluation
from genies.methods.protocol import protocol_of
from genies.methods.training.arguments import PublishedModelArguments
from genies.methods.training.classifier import has_own_code
from genies.methods.training.evaluation import evaluate_rewards
from genies.methods.training.own_forward import ENCODERS, OwnForward, check_encoder, load_own, model_type


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
    """Evaluate a model that is run by its own forward pass."""
    text_format = evaluation_format(arguments, model.folder, model.tokenizer, True, True)
    segments = model.padded and text_format.name == "raw"
    described = {"prompt_format": "segments"} if segments else text_format.description()
    extra = {**describe(model.network.dtype, model.network.device), **described, **protocol_of(arguments)}

    def evaluate_one(folder: Path, path: Path, test: list[Pair]) -> None:
        kept, encoded, out = _fitting(model, test, folder, text_format, segments)
        rewards = model.rewards([text for both in encoded for text in both])
        found = rewards[::2], rewards[1::2]
        write_evaluation(path, folder, kept, softmax_of_pair(*found), out, extra, found)

    for_each_distribution(arguments, tests, evaluate_one)


def _fitting(
    model: OwnForward, pairs: list[Pair], source: Path, text_format: TextFormat, segments: bool
) -> tuple[list[Pair], list[tuple[dict[str, list[int]], dict[str, list[int]]]], list[int]]:
    """The pairs of examples whose texts fit into the context, encoded, and the indices of the other examples."""
    encoded = model.encode(pairs, text_format, segments)
    limit = model.context_length
    lengths = [max(len(text["input_ids"]) for text in both) for both in encoded]
    out: dict[int, int] = {}
    for pair, length in zip(pairs, lengths, strict=True):
        if limit is not None and length > limit:
            out.setdefault(pair.example_index, length)
    for index, length in out.items():
        said = f"it has {length} tokens, but the model's limit is {limit}"
        print(f"{source}: example {index} is left out: {said}", file=sys.stderr)
    kept = [place for place, pair in enumerate(pairs) if pair.example_index not in out]
    if not kept:
        raise InputError(f"{source}: no example fits into the {limit} tokens of the model's context")
    return [pairs[place] for place in kept], [encoded[place] for place in kept], sorted(out)
