"""`--search held_back`: choose the learning rate and the number of steps on pairs of the source that are held back.

The rule: a share of the source's examples, drawn with the seed, is held back. The model is tuned on the others once
with each of the learning rates, always from the same initial weights, and scores the held-back pairs ten times on the
way. The learning rate and the number of steps with the lowest mean log loss on them are chosen; of equal ones, the
fewest steps, then the lowest learning rate. Then the model is tuned on all pairs with them.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.files import read_json, write_json
from genies.methods.directions import hold_back
from genies.methods.training.arguments import TrainingArguments
from genies.methods.training.gradients import Trainee, all_scores, preference_loss
from genies.methods.training.loop import DEFAULT_BATCH_TOKENS, Diverged, pair_accuracy, train
from genies.methods.training.pairs import TrainingData, TrainingPair
from genies.quantities import counted

RECORD = "search.json"
"""In the tuned model's folder: the rule's arguments, the curve of every learning rate, and the choice."""

MEASUREMENTS = 10
"""How often the held-back pairs are scored in one training."""


def chosen_arguments(
    trainee: Trainee,
    data: TrainingData,
    arguments: TrainingArguments,
    accelerator: Any,
    output_dir: Path,
    mark: str,
    dtype: torch.dtype,
) -> TrainingArguments:
    """The arguments with the chosen learning rate and number of steps; the trainee has its initial weights again.

    A killed search continues where it was. Raises InputError if there are fewer than two examples, or if every learning
    rate makes the loss infinite.
    """
    fitted, held = _split(data, arguments)
    initial = {name: value.detach().clone() for name, value in trainee.parameters.items()}
    curves = []
    for number, factor in enumerate(arguments.search_factors):
        rate = arguments.learning_rate * factor
        candidate = arguments.model_copy(update={"learning_rate": rate, "search": "none", "keep_steps": []})
        folder, name = output_dir / f"checkpoint-search-{number}", f"{mark} search {rate:g}"
        curve = _finished(folder / RECORD, name)
        if curve is None:
            _restore(trainee, initial)
            if accelerator.is_main_process:
                print(f"search: learning rate {rate:g}", file=sys.stderr)
            curve = _curve(trainee, fitted, held, candidate, accelerator, folder, name, dtype)
            if accelerator.is_main_process:
                write_json(folder / RECORD, {"mark": name, "curve": curve})
            accelerator.wait_for_everyone()
        curves.append({"learning_rate": rate, "curve": curve})
    _restore(trainee, initial)
    chosen = _best(curves, arguments, data.source)
    if accelerator.is_main_process:
        write_json(
            output_dir / RECORD,
            {
                "rule": "lowest mean log loss on held-back pairs",
                "validation_share": arguments.validation_share,
                "fitted_pairs": len(fitted.pairs),
                "held_back_pairs": len(held),
                "chosen": chosen,
                "tried": curves,
            },
        )
        print(f"search: chose learning rate {chosen['learning_rate']:g} and {chosen['step']} steps, with a held-back "
              f"accuracy of {chosen['accuracy']:.3f} ({counted(len(held), 'pair')})", file=sys.stderr)  # fmt: skip
    return arguments.model_copy(
        update={"learning_rate": chosen["learning_rate"], "num_train_steps": chosen["step"], "search": "none"}
    )


def _split(data: TrainingData, arguments: TrainingArguments) -> tuple[TrainingData, list[TrainingPair]]:
    """The data of the examples that are not held back, and the held-back pairs, of which ties are left out."""
    examples = sorted({pair.example_index for pair in data.pairs})
    if len(examples) < 2:
        raise InputError(f"--search held_back: expected at least 2 examples, {data.source} has {len(examples)}")
    held = {examples[place] for place in hold_back(len(examples), arguments.validation_share, arguments.seed)[0]}
    fitted = [pair for pair in data.pairs if pair.example_index not in held]
    scored = [pair for pair in data.pairs if pair.example_index in held and pair.label != 0.5]
    if not scored:
        raise InputError(
            f"--search held_back: all {len(held)} held-back examples of {data.source} are ties; hold back more with "
            "--validation_share, or leave --search out"
        )
    return replace(data, pairs=fitted), scored


def _curve(
    trainee: Trainee,
    fitted: TrainingData,
    held: list[TrainingPair],
    candidate: TrainingArguments,
    accelerator: Any,
    folder: Path,
    mark: str,
    dtype: torch.dtype,
) -> list[Mapping[str, Any]]:
    """The steps at which held-back pairs were scored, each with their loss and accuracy; empty if training diverged."""
    last = candidate.num_train_steps
    # With a decreasing learning rate, the weights before the last step are not those of a shorter training.
    share = 1 if candidate.lr_scheduler_type != "constant" else MEASUREMENTS
    steps = {round(last * place / share) for place in range(1, share + 1)}
    budget = candidate.batch_tokens or DEFAULT_BATCH_TOKENS[trainee.model.device.type]
    labels = torch.tensor([pair.label for pair in held], dtype=torch.float64)

    def measure(step: int) -> Mapping[str, float]:
        if step not in steps:
            return {}
        scores = all_scores(trainee, held, budget, accelerator, dtype)
        loss = float(preference_loss(scores, labels).mean())
        if not math.isfinite(loss):
            raise Diverged(f"the loss of held-back pairs is not finite after step {step}")
        return {"held_back_loss": loss, "held_back_accuracy": pair_accuracy(scores, labels)}

    try:
        log = train(trainee, fitted, candidate, accelerator, folder, mark, dtype, measure)
    except Diverged as error:
        print(f"search: learning rate {candidate.learning_rate:g} is too high: {error}", file=sys.stderr)
        return []
    return [
        {"step": entry["step"], "loss": entry["held_back_loss"], "accuracy": entry["held_back_accuracy"]}
        for entry in log
        if "held_back_loss" in entry
    ]


def _best(curves: list[dict[str, Any]], arguments: TrainingArguments, source: Path) -> dict[str, Any]:
    points = [{"learning_rate": each["learning_rate"], **point} for each in curves for point in each["curve"]]
    if not points:
        tried = ", ".join(f"{each['learning_rate']:g}" for each in curves)
        raise InputError(
            f"--search held_back: the loss on {source} is not finite with any of the learning rates {tried}; use a "
            "smaller --learning_rate or --dtype float32"
        )
    return min(points, key=lambda point: (point["loss"], point["step"], point["learning_rate"]))


def _restore(trainee: Trainee, initial: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in trainee.parameters.items():
            value.copy_(initial[name])
            value.grad = None


def _finished(path: Path, mark: str) -> list[Mapping[str, Any]] | None:
    """The curve of a training that has ended; None if it has not, or if it is that of another search."""
    if not path.is_file():
        return None
    try:
        value = read_json(path, "record of a search")
        return list(value["curve"]) if value["mark"] == mark else None
    except (InputError, KeyError, TypeError):
        shutil.rmtree(path.parent, ignore_errors=True)
        return None
