"""Where models and evaluations are stored, and which of them can be reused.

<models_dir>/<intervention>/<base model>-<source>/                           a tuned model
<results_dir>/evaluations/<intervention>/<base model>-<source>/<target>.json   its evaluation on a target
<results_dir>/evaluations/<baseline>/<base model>/<target>.json                that of the untuned model
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from genies.errors import InputError
from genies.evaluation_file import Evaluation, read_evaluation
from genies.file_hashes import FileHashes
from genies.files import read_json
from genies.folder_hashes import TRAINING_RECORD, model_content
from genies.harness.fingerprint import Parts, differences, unknown_parts
from genies.harness.job import Identity, Job
from genies.names import check_length, shortened

_DIGITS = 16
"""Digits of the fingerprint in the name of a training's staging folder."""

State = Literal["current", "foreign", "unchecked", "stale", "absent", "unusable"]


@dataclass(frozen=True)
class Standing:
    """The state of a job's stored result."""

    state: State
    """current: made from the same parts; foreign: not made by this harness; unchecked: made from the same parts as far
    as they can be compared; stale: made from other parts; unusable: damaged."""
    reason: str = ""

    @property
    def usable(self) -> bool:
        return self.state in ("current", "foreign", "unchecked")

    @property
    def unverified(self) -> bool:
        """Usable, but not known to be made from the inputs of the request."""
        return self.state in ("foreign", "unchecked")


@dataclass(frozen=True)
class Store:
    """The folders of one project, as absolute paths."""

    root: Path
    """The project root, the working directory of every job."""
    models_dir: Path
    results_dir: Path

    def model_dir(self, variant: str, model_name: str) -> Path:
        """InputError if the name of its staging folder would be too long."""
        check_length(model_name, 1 + _DIGITS, "the model, by the names of base model and source,")
        return self.models_dir.joinpath(variant, model_name)

    def evaluation_file(self, variant: str, model_name: str, distribution: str) -> Path:
        check_length(distribution, len(".json"), "an evaluation, by its distribution,")
        return self.results_dir.joinpath("evaluations", variant, model_name, f"{distribution}.json")

    def staging(self, job: Job, fingerprint: str) -> Path:
        """Where a job writes. Attempts at the same training use the same folder, so that a later one can resume. It is
        next to the model's folder, so that the final move stays on one file system, whatever links exist."""
        if job.role == "train":
            return self.models_dir / job.variant / ".staging" / f"{job.name}-{fingerprint[:_DIGITS]}" / job.name
        return self.results_dir / ".staging" / job.variant / job.name

    def lock_files(self, job: Job) -> list[Path]:
        """The locks of a job in the order of acquisition: that of the model and, for an evaluation, that of the folder
        it writes to. An untuned model is not locked, because no job replaces it: several evaluations may read it."""
        output = next(iter(job.outputs.values()))
        if job.role == "train":
            return [self._lock_file(output)]
        untuned = job.model_dir == job.base_model_dir and not (job.model_dir / TRAINING_RECORD).exists()
        return [self._lock_file(each) for each in ([] if untuned else [job.model_dir]) + [output.parent]]

    def _lock_file(self, result: Path) -> Path:
        digest = hashlib.sha256(str(result).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        base = self.models_dir if result.is_relative_to(self.models_dir) else self.results_dir
        return base / ".locks" / f"{shortened(result.name, 80)}-{digest}.lock"

    def state_file(self, job: Job) -> Path:
        """The file with the state of a job: planned, running, done or failed."""
        return self.results_dir / ".state" / job.variant / job.name / f"{job.role}.json"

    def new_log(self, job: Job) -> Path:
        """A new log file: train-1.log, train-2.log, ..."""
        folder = self.results_dir / "logs" / job.variant / job.name
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := folder / f"{job.role}-{number}.log").exists():
            number += 1
        return path

    def shown(self, path: Path) -> str:
        """A path for messages and jobs: relative to the project root if it is below it."""
        shown = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        return f"./{shown}" if shown.startswith("-") else shown  # must not look like an option


def model_standing(model_dir: Path, parts: Parts, hashes: FileHashes, ignored: Collection[str] = ()) -> Standing:
    """Whether a tuned model's folder can be reused for a training with these parts; `ignored` as in differences()."""
    if not model_dir.is_dir() or not any(model_dir.iterdir()):
        return Standing("absent")
    record = training_record(model_dir)
    if record is None:
        return Standing("foreign", f"{TRAINING_RECORD} is missing: not trained by this harness")
    if record.get("content") != model_content(hashes, model_dir):
        return Standing("stale", "its files changed after training")
    return _compare(parts, record.get("parts"), ignored)


def training_record(model_dir: Path) -> dict[str, Any] | None:
    """The record that the harness wrote into a tuned model's folder; None if it is missing or damaged."""
    try:
        record = read_json(model_dir / TRAINING_RECORD, "training record")
    except InputError:
        return None
    return record if isinstance(record, dict) else None


def identity_in(record: Mapping[str, Any]) -> Identity | None:
    """The identity in a training record or in the provenance of an evaluation; None if it is not recorded."""
    try:
        return _IDENTITIES.validate_python(record.get("identity"))
    except ValidationError:
        return None


_IDENTITIES = TypeAdapter(Identity)


def read_stored(path: Path) -> Evaluation | None:
    """The evaluation in a file; None without a file; InputError if it is damaged, or not what the harness wrote."""
    if not path.exists():
        return None
    evaluation, value = read_evaluation(path)
    if (evaluation.provenance or {}).get("content") not in (None, evaluation_content(value)):
        raise InputError(
            f"evaluation {path}: its values changed after the evaluation, so it is not used; run the main job again"
        )
    return evaluation


def evaluation_content(value: dict[str, Any]) -> str:
    """Hexadecimal sha256 of an evaluation without its provenance, which stores it."""
    values = {name: each for name, each in value.items() if name != "provenance"}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def evaluation_standing(
    path: Path, parts: Parts, content: str | None, ignored: Collection[str] = ()
) -> tuple[Standing, Evaluation | None]:
    """Whether an evaluation file can be reused for an evaluation with these parts, and its content.

    `content` is the hash of the existing tuned model, if the training of the plan made it, else None: an evaluation of
    an earlier model is stale.
    """
    if not path.exists():
        return Standing("absent"), None
    try:
        evaluation, value = read_evaluation(path)
    except InputError as error:
        return Standing("unusable", str(error)), None
    provenance = evaluation.provenance
    if provenance is None or "fingerprint" not in provenance:
        return Standing("foreign", "it has no provenance: not made by this harness"), evaluation
    if provenance.get("content") not in (None, evaluation_content(value)):
        return Standing("unusable", "its values changed after the evaluation"), None
    standing = _compare(parts, provenance.get("parts"), ignored)
    made_with = provenance.get("model_content")
    if standing.usable and content is not None and made_with != content:
        return Standing("stale", "the model was trained again after the evaluation"), None
    return standing, evaluation


def _compare(parts: Parts, recorded: object, ignored: Collection[str]) -> Standing:
    if not isinstance(recorded, dict):
        return Standing("stale", "its record does not contain what it was made from")
    differing = differences(parts, recorded, ignored)
    if differing:
        return Standing("stale", f"changed since: {', '.join(differing)}")
    unknown = unknown_parts(parts)
    if unknown:
        return Standing("unchecked", f"missing, so not compared: {', '.join(unknown)}")
    return Standing("current")
