"""Tune a reward model on the preferences of another, weaker model (Burns et al. 2023, arXiv 2312.09390)."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn.functional import softplus

from genies.data.distribution import Distribution, Example, Pair, pairs, read_split
from genies.data.evaluated import prompt_clusters
from genies.errors import InputError
from genies.evaluation_file import Evaluation, read_evaluation
from genies.methods.training.adapters import add_lora, save_adapter
from genies.methods.training.arguments import WeakLabelArguments
from genies.methods.training.decoder_head import network_to_adapt
from genies.methods.training.gradients import Loss, preference_loss
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import add_head
from genies.methods.training.tuning import read_data, reward_trainee, session, tune

_FOLDERS = TypeAdapter(list[Path])

Preferences = dict[tuple[int, str, str], float]
"""The probability that the first of two responses to an example's prompt is better."""


def tune_on_weak_labels(arguments: WeakLabelArguments) -> None:
    """Tune low-rank adapters and a head on one pair per example; the source's own labels are not used."""
    preferences = read_preferences(arguments.weak_labels, arguments.train_distribution)
    labels: dict[int, float] = {}

    def preferred(drawn: list[Pair]) -> list[Pair]:
        """The pairs with a label, with the response that the other model prefers as the best one."""
        found = []
        for pair in drawn:
            p = preferences.get((pair.example_index, pair.best, pair.worse))
            if p is not None:
                labels[pair.example_index] = max(p, 1 - p)
                found.append(pair if p >= 0.5 else replace(pair, best=pair.worse, worse=pair.best))
        return found

    with session(arguments) as accelerator:
        base = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        model = add_head(base, arguments.seed)
        network, task = network_to_adapt(model.classifier)
        tuned = add_lora(network, arguments, arguments.model_dir, task)
        data = read_data(arguments, model.language_model, change=preferred)
        data = replace(data, pairs=[replace(pair, label=labels[pair.example_index]) for pair in data.pairs])
        warm_up = math.ceil(arguments.confidence_warmup * arguments.num_train_steps)
        trainee = replace(reward_trainee(model, tuned), loss=confidence_loss(arguments.confidence_weight, warm_up))
        tune("w2s", trainee, data, arguments, accelerator, lambda folder: save_adapter(tuned, folder, model.classifier))


def confidence_loss(weight: float, warm_up: int) -> Loss:
    """The loss with an auxiliary confidence term (Burns et al. 2023, section 4.3.2 and appendix A.4):

        (1 - alpha) * CE(p, label) + alpha * CE(p, 1 if p > 1/2 else 0)

    with p = sigmoid(margin). alpha rises linearly to `weight` over the first `warm_up` steps. The threshold is 1/2,
    because the two responses of a pair have no order.
    """

    def loss(scores: Tensor, labels: Tensor, step: int) -> Tensor:
        alpha = weight * min(1.0, (step + 1) / warm_up if warm_up else 1.0)
        margins = scores[:, 0, 0] - scores[:, 1, 0]
        return (1 - alpha) * preference_loss(scores, labels) + alpha * softplus(-margins.abs())

    return loss


def read_preferences(evaluation: Path, source: Path) -> Preferences:
    """The probabilities in an evaluation file of a distribution whose test.json is the train.json of `source`.

    Raises InputError if the file has no probabilities, or if its pairs are not those of train.json. Their texts are
    compared if the folder that the file's provenance names still exists; otherwise a warning is printed.
    """
    found, _ = read_evaluation(evaluation)
    probabilities, left_out = found.eval_probabilities, set(found.eval_left_out_indices or ())
    if probabilities is None or found.eval_example_indices is None:
        raise InputError(
            f"--weak_labels {evaluation}: expected eval_probabilities and eval_example_indices, as the interventions "
            "here write them"
        )
    examples = Distribution(source).split("train")
    known = [pair for pair in pairs(examples) if pair.example_index not in left_out]
    clusters = prompt_clusters((pair.example_index, pair.prompt) for pair in known)
    same = [pair.example_index for pair in known] == found.eval_example_indices
    if not same or found.eval_prompt_clusters not in (None, clusters):
        raise InputError(
            f"--weak_labels {evaluation}: its {len(probabilities)} pairs are not those of {source}/train.json; "
            "evaluate the other model on a distribution whose test.json is a copy of that file"
        )
    _check_texts(evaluation, found, examples, source)
    return {(pair.example_index, pair.best, pair.worse): p for pair, p in zip(known, probabilities, strict=True)}


def _check_texts(path: Path, evaluation: Evaluation, examples: Sequence[Example], source: Path) -> None:
    """InputError if the evaluated distribution contains other examples than `examples`; a warning if it is unknown."""
    given = dict(itertools.pairwise((evaluation.provenance or {}).get("argv") or ()))
    try:
        folders = _FOLDERS.validate_json(given.get("--distribution_dirs", "[]"))
    except ValidationError:
        folders = []
    folder = next((each for each in folders if each.name == path.stem), None)
    if folder is None or not (folder / "test.json").is_file():
        print(
            f"warning: --weak_labels {path}: the distribution that it evaluates is not there, so its texts are not "
            f"compared with {source}/train.json, only the number of pairs per example and repeated prompts",
            file=sys.stderr,
        )
        return
    for mine, theirs in zip(examples, read_split(folder / "test.json"), strict=False):
        if (mine.prompt, mine.responses, mine.best) != (theirs.prompt, theirs.responses, theirs.best):
            raise InputError(
                f"--weak_labels {path}: example {mine.index} of {folder}/test.json, which it evaluates, is not that "
                f"of {source}/train.json; evaluate the other model on a distribution whose test.json is a copy of it"
            )
