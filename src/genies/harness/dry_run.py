"""What a run would do, and about how much work it is: the plan as a table, counted, with an estimate."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from genies.activation_size import activation_bytes
from genies.data.distribution import Distribution, SplitName
from genies.errors import InputError
from genies.files import read_json
from genies.harness.decide import Decision, TrainingDecision
from genies.harness.fingerprint import TRAINING_RECORD, Parts
from genies.harness.store import Store, training_record

CHARACTERS_PER_TOKEN = 4
"""Roughly, of English text and usual tokenizers."""


def describe(decisions: Sequence[Decision], failed_before: Collection[int], store: Store, slots: int) -> str:
    """A line for each training and each evaluation with what would become of it and why; counts; the work.

    failed_before: the positions of steps that failed in an earlier run with the same inputs, and will not be tried.
    slots: how many steps run at once.
    """
    lines: list[tuple[str, str, str, str]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for position, decision in enumerate(decisions):
        for kind, action, title, why in _lines(decision):
            if action == "run" and position in failed_before:
                why = "failed in an earlier run; not tried again without --retry_failed"
            lines.append((str(position + 1), action, title, why))
            counts[kind, action] += 1
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    body = "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
        for line in lines
    )
    to_run = [each for position, each in enumerate(decisions) if each.run and position not in failed_before]
    count = sum(decision.run for decision in decisions)
    last = f"{len(decisions)} steps in the plan, {count} to run; nothing was written"
    return "\n\n".join([body, _counted(counts), *([_work(to_run, store, slots)] if to_run else []), last])


def _lines(decision: Decision) -> Iterator[tuple[str, str, str, str]]:
    """Kind, action, title and reason of a training, or of each evaluation of a step."""
    if isinstance(decision, TrainingDecision):
        reused = "unverified" if decision.standing.unverified else "reuse"
        action = "run" if decision.run else reused if decision.standing.usable else "not needed"
        yield "train", action, decision.step.title, decision.why
        return
    for each in decision.targets:
        action = "run" if each.run else "unverified" if each.standing.unverified else "reuse"
        title = f"evaluate {decision.step.intervention}, {decision.step.model_name}, on "
        yield "evaluate", action, title + each.target.distribution_dir.name, each.why


def _counted(counts: Counter[tuple[str, str]]) -> str:
    actions = {"run": "to run", "reuse": "reused", "unverified": "unverified", "not needed": "not needed"}
    lines = [" " * 8 + "".join(f"{name:>12}" for name in actions.values())]
    lines += [
        f"{kind:<8}" + "".join(f"{counts[kind, each]:>12,}" for each in actions) for kind in ("train", "evaluate")
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Work:
    """What steps have to read."""

    examples: int = 0
    pairs: int = 0
    characters: int = 0
    """Of prompts and responses."""

    def __add__(self, other: Work) -> Work:
        return Work(self.examples + other.examples, self.pairs + other.pairs, self.characters + other.characters)


@cache
def split_work(folder: Path, split: SplitName, max_examples: int | None) -> Work:
    """The work of the first `max_examples` examples of a split; none when they cannot be read."""
    try:
        examples = Distribution(folder).split(split, max_examples)
    except (InputError, OSError):
        return Work()
    return Work(
        len(examples),
        sum(len(each.responses) - 1 for each in examples),
        sum(len(each.prompt) + sum(map(len, each.responses)) for each in examples),
    )


def step_work(decision: Decision) -> Work:
    """The work of a step: the examples it trains on, or those of the evaluations that must run."""
    limit = _limit(decision.step.kwargs)
    if isinstance(decision, TrainingDecision):
        return split_work(decision.step.source_dir, "train", limit)
    folders = [each.target.distribution_dir for each in decision.targets if each.run]
    return sum((split_work(folder, "test", limit) for folder in folders), Work())


def _limit(kwargs: Mapping[str, Any]) -> int | None:
    given = kwargs.get("max_examples")
    return given if isinstance(given, int) and not isinstance(given, bool) and given > 0 else None


def kept_activations(decisions: Sequence[Decision]) -> tuple[int, int]:
    """Texts that the steps read at most, and the bytes of their activations in the store of activations.

    An intervention that reads representations keeps them: of two responses of every example tuned on, of all responses
    of every example tested on, each once. The bytes are those of float32, or of half precision where the step's `dtype`
    says so; 0 where the model's config does not say how large it is.
    """
    texts: dict[tuple[Path, Path, str, int | None, int], int] = {}
    for decision in decisions:
        kwargs = decision.step.kwargs
        limit, width = _limit(kwargs), 2 if kwargs.get("dtype") in ("bfloat16", "float16") else 4
        if isinstance(decision, TrainingDecision):
            source = decision.step.source_dir
            work = split_work(source, "train", limit)
            texts[decision.step.base_model_dir, source, "train", limit, width] = 2 * work.examples
        else:
            training = decision.step.training
            base = training.base_model_dir if training else decision.step.model_dir
            for folder in (each.target.distribution_dir for each in decision.targets if each.run):
                work = split_work(folder, "test", limit)
                texts[base, folder, "test", limit, width] = work.examples + work.pairs
    size = sum(count * _text_bytes(key[0], key[-1]) for key, count in texts.items())
    return sum(texts.values()), size


@cache
def _text_bytes(model: Path, value_bytes: int) -> int:
    try:
        config = read_json(model / "config.json", "model configuration")
    except (InputError, OSError):
        return 0
    return (activation_bytes(config, value_bytes) if isinstance(config, dict) else None) or 0


def _work(decisions: Sequence[Decision], store: Store, slots: int) -> str:
    lines = []
    for kind, verb in (("train", "train on"), ("evaluate", "evaluate")):
        work = sum((step_work(each) for each in decisions if _kind(each) == kind), Work())
        if work.examples:
            lines.append(
                f"to {verb}: {work.examples:,} examples, {work.pairs:,} pairs, {work.characters:,} characters, "
                f"about {work.characters // CHARACTERS_PER_TOKEN:,} tokens read once"
            )
    texts, size = kept_activations(decisions)
    if size:
        lines.append(
            f"activations, where an intervention keeps them: at most {_size(size)} for each way of asking, "
            f"{_size(size // texts)} a text; cache_gb in the kwargs bounds it"
        )
    seconds, known = 0.0, 0
    rates = {key: rate(*key, store) for key in {_rate_key(each) for each in decisions}}
    for decision in decisions:
        each = rates[_rate_key(decision)]
        if each is not None:
            seconds += each * step_work(decision).characters
            known += 1
    if known:
        of = "all of them" if known == len(decisions) else f"{known:,} of {len(decisions):,} steps"
        lines.append(
            f"time: about {_duration(seconds / slots)} for {of}, {slots} at once, by what the same interventions took "
            "with the same model before"
        )
    else:
        lines.append("time: no step of the same intervention and model has been recorded to tell it from")
    return "\n".join(lines)


def _kind(decision: Decision) -> str:
    return "train" if isinstance(decision, TrainingDecision) else "evaluate"


def _rate_key(decision: Decision) -> tuple[str, str, str | None]:
    parts = decision.parts if isinstance(decision, TrainingDecision) else decision.targets[0].parts
    return _kind(decision), decision.step.intervention, base_model(parts)


def base_model(parts: Parts) -> str | None:
    """Identity of the untuned model that a step's parts name, for a training or an evaluation."""
    model = parts.get("model")
    found = parts.get("base_model") or (isinstance(model, dict) and (model.get("base_model") or model.get("files")))
    return found if isinstance(found, str) else None


_FOLDERS = TypeAdapter(list[str])


class Recorded(BaseModel):
    """What the record of a finished step, or the provenance of an evaluation, says of its process."""

    parts: dict[str, Any]
    argv: list[str]
    started: str
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def work(self, root: Path) -> Work:
        """The work of that process, as far as what it read is still there; `root` was its working directory."""
        given = dict(itertools.pairwise(self.argv))
        limit = _limit(self.parts.get("kwargs") or {})
        if "--train_distribution" in given:
            return split_work(root / given["--train_distribution"], "train", limit)
        try:
            folders = _FOLDERS.validate_json(given.get("--distribution_dirs", "[]"))
        except ValidationError:
            return Work()
        return sum((split_work(root / folder, "test", limit) for folder in folders), Work())


def rate(kind: str, intervention: str, model: str | None, store: Store) -> float | None:
    """Seconds a character that the recorded steps of an intervention took with a base model; None without any."""
    processes: dict[tuple[str, ...], Recorded] = {}
    for value in _records(kind, intervention, store):
        try:
            recorded = Recorded.model_validate(value)
        except ValidationError:
            continue
        if base_model(recorded.parts) == model:  # one process wrote several evaluations
            processes[recorded.started, *recorded.argv] = recorded
    characters = sum(each.work(store.root).characters for each in processes.values())
    return sum(each.seconds for each in processes.values()) / characters if characters else None


def _records(kind: str, intervention: str, store: Store) -> Iterator[Any]:
    if kind == "train":
        for path in (store.models_dir / intervention).glob(f"*/{TRAINING_RECORD}"):
            yield training_record(path.parent)
        return
    for path in (store.results_dir / "evaluations" / intervention).glob("*/*.json"):
        try:
            value = read_json(path, "evaluation")
        except (InputError, OSError):
            continue
        yield value.get("provenance") if isinstance(value, dict) else None


def _size(count: int) -> str:
    """A size as a person says it: 138 kB, 1.2 GB."""
    power, unit = next(each for each in ((9, "GB"), (6, "MB"), (3, "kB"), (0, "bytes")) if count >= 10 ** each[0])
    value = count / 10**power
    return f"{value:.1f} {unit}" if power and value < 10 else f"{value:.0f} {unit}"


def _duration(seconds: float) -> str:
    """A time as a person says it, to two digits or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
