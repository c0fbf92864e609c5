"""Estimates of the work of a plan's jobs: the text they read, the activations they cache, and their time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from genies.activation_size import activation_bytes
from genies.data.distribution import SplitName
from genies.data.work import Work, split_work
from genies.declaration import Role
from genies.errors import InputError
from genies.files import read_json
from genies.folder_hashes import TRAINING_RECORD
from genies.harness.decide import Check
from genies.harness.fingerprint import base_model
from genies.harness.store import Store, training_record


def job_work(check: Check) -> Work:
    """The work of a job: the examples it trains on, or those of the evaluations that must run."""
    job = check.job
    limit = _limit(job.kwargs)
    return sum((split_work(folder, split_of(job.role), limit) for folder in _read_by(check)), Work())


def _read_by(check: Check) -> list[Path]:
    """The distributions whose texts a job reads."""
    job = check.job
    return [*(job.distributions[name] for name in check.wanted), *([job.unlabelled] if job.unlabelled else [])]


def split_of(role: Role) -> SplitName:
    return "train" if role == "train" else "test"


def _limit(kwargs: Mapping[str, Any]) -> int | None:
    given = kwargs.get("max_examples")
    return given if isinstance(given, int) and not isinstance(given, bool) and given > 0 else None


def kept_texts(checks: Sequence[Check]) -> int:
    """Upper bound of the number of texts whose activations jobs cache."""
    return kept_activations(checks)[0]


def kept_activations(checks: Sequence[Check]) -> tuple[int, int]:
    """Upper bounds of the number of texts that jobs read and of the bytes of their cached activations.

    An intervention that reads representations caches those of two responses of every training example and of all
    responses of every test example, each once. The bytes are for float32, or for half precision if the job's `dtype`
    says so; 0 if the model's config does not contain its size.
    """
    texts: dict[tuple[Path, Path, str, int | None, int], int] = {}
    for check in checks:
        job = check.job
        limit, width = _limit(job.kwargs), 2 if job.kwargs.get("dtype") in ("bfloat16", "float16") else 4
        split = split_of(job.role)
        for folder in _read_by(check):
            work = split_work(folder, split, limit)
            count = 2 * work.examples if split == "train" else work.examples + work.pairs
            texts[job.base_model_dir, folder, split, limit, width] = count
    size = sum(count * _text_bytes(key[0], key[-1]) for key, count in texts.items())
    return sum(texts.values()), size


@cache
def _text_bytes(model: Path, value_bytes: int) -> int:
    try:
        config = read_json(model / "config.json", "model configuration")
    except (InputError, OSError):
        return 0
    return (activation_bytes(config, value_bytes) if isinstance(config, dict) else None) or 0


def rate_key(check: Check) -> tuple[Role, str, str | None]:
    """The key of jobs with similar cost: role, variant, identity of the untuned model."""
    return check.job.role, check.job.variant, base_model(check.parts)


_FOLDERS = TypeAdapter(list[str])


class Recorded(BaseModel):
    """The process of a finished job, from a training record or the provenance of an evaluation."""

    parts: dict[str, Any]
    argv: list[str]
    started: str
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def work(self, root: Path) -> Work:
        """The work of that process, as far as its inputs still exist; `root` was its working directory."""
        given = dict(itertools.pairwise(self.argv))
        limit = _limit(self.parts.get("kwargs") or {})
        if "--train_distribution" in given:
            return split_work(root / given["--train_distribution"], "train", limit)
        try:
            folders = _FOLDERS.validate_json(given.get("--distribution_dirs", "[]"))
        except ValidationError:
            return Work()
        return sum((split_work(root / folder, "test", limit) for folder in folders), Work())


def rate(role: Role, variant: str, model: str | None, store: Store) -> float | None:
    """Seconds per character of the recorded jobs of a variant with a base model; None without records."""
    processes: dict[tuple[str, ...], Recorded] = {}
    for value in _records(role, variant, store):
        try:
            recorded = Recorded.model_validate(value)
        except ValidationError:
            continue
        if base_model(recorded.parts) == model:  # one process wrote several evaluations
            processes[recorded.started, *recorded.argv] = recorded
    characters = sum(each.work(store.root).characters for each in processes.values())
    return sum(each.seconds for each in processes.values()) / characters if characters else None


def _records(role: Role, variant: str, store: Store) -> Iterator[Any]:
    if role == "train":
        for path in (store.models_dir / variant).glob(f"*/{TRAINING_RECORD}"):
            yield training_record(path.parent)
        return
    for path in (store.results_dir / "evaluations" / variant).glob("*/*.json"):
        try:
            value = read_json(path, "evaluation")
        except (InputError, OSError):
            continue
        yield value.get("provenance") if isinstance(value, dict) else None
