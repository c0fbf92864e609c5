"""Check the outputs of a script, add their provenance, and move them into place."""

from __future__ import annotations

import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from genies.data.agreement import ROUNDED_TOLERANCE, accuracy_of_pairs
from genies.errors import InputError
from genies.evaluation_file import Evaluation, read_evaluation
from genies.file_hashes import FileHashes
from genies.files import flush_folder, read_json, write_json
from genies.folder_hashes import TRAINING_RECORD, model_content
from genies.harness.decide import Check
from genies.harness.fingerprint import Identities, Parts, differences, fingerprint, unknown_parts
from genies.harness.job import Identity, Job
from genies.harness.store import Store, evaluation_content, training_record
from genies.processes.hardware import Hardware
from genies.processes.process import Outcome
from genies.provenance import command, surroundings

LARGEST_EVALUATION = 64 << 20
"""Bytes; an evaluation of a million pairs has a quarter of that."""

_STARTED = ".started.json"
"""In a staging folder of evaluations: what determines them and their command, so that a later run can recover them."""

_NOT_RUN = Outcome(0, 0.0)


@dataclass(frozen=True)
class Origin:
    """The process that made a result."""

    identity: Identity
    argv: list[str]
    started: str
    """UTC, ISO 8601."""
    root: Path
    log: Path
    outcome: Outcome = _NOT_RUN

    def provenance(self) -> dict[str, Any]:
        return {
            "identity": self.identity.recorded(),
            "argv": command(self.argv),
            "started": self.started,
            "seconds": round(self.outcome.seconds, 3),
            **surroundings(self.root),
        }


def changed_since_planned(check: Check, hashes: FileHashes, root: Path) -> list[str]:
    """The parts of a job that have changed since it was planned."""
    job, changed = check.job, set[str]()
    # The number format is taken from the plan, because only the launcher knows the GPU that the job sees.
    identities = Identities(hashes, root, Hardware(None, check.parts.get("dtype")))
    if job.role == "evaluate":
        changed |= set(_changed_model(check, identities))
    for name, output in check.wanted.items():
        now = identities.parts(job, name, output.parts.get("model"))
        gone = set(unknown_parts(now)) - set(unknown_parts(output.parts))  # unlike in a plan, this is a change
        changed |= {*differences(now, output.parts), *(f"{each} (gone)" for each in gone)}
    return sorted(changed)


def _changed_model(check: Check, identities: Identities) -> list[str]:
    meant, content = check.parts["model"], identities.model(check.job.model_dir)
    if content is None:
        return ["model (gone)"]
    if meant.keys() == {"files"}:
        return [] if meant["files"] == content else ["model"]
    record = training_record(check.job.model_dir)
    if record is None or record.get("content") != content or differences(meant, record.get("parts") or {}):
        return ["model"]
    return []


def promote_model(check: Check, staging: Path, origin: Origin, hashes: FileHashes) -> None:
    """Move a finished staging folder into place, after writing its record as the last file."""
    record = {
        "fingerprint": fingerprint(check.parts),
        "parts": check.parts,
        "content": model_content(hashes, staging),
        **origin.provenance(),
    }
    flush_folder(staging)
    write_json(staging / TRAINING_RECORD, record)
    (place,) = check.job.outputs.values()
    replace_folder(staging, place)


def promote_evaluation(check: Check, name: str, output: Path, origin: Origin, content: str | None) -> Evaluation:
    """Check what eval.py wrote for a target, store it with its provenance, and return it."""
    try:
        status = output.lstat()
    except FileNotFoundError:
        raise InputError(f"evaluation {output} does not exist; expected one JSON file for each distribution") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"evaluation {output} is not a regular file; expected a JSON file")
    if status.st_size > LARGEST_EVALUATION:
        raise InputError(
            f"evaluation {output} has {status.st_size >> 20} MiB; expected at most {LARGEST_EVALUATION >> 20} MiB"
        )
    evaluation, value = read_evaluation(output)
    share = accuracy_of_pairs(evaluation, ROUNDED_TOLERANCE)
    if share is not None:
        raise InputError(
            f"evaluation {output}: field eval_accuracy: expected the share of eval_probabilities above one half (a tie "
            f"counts half), got {evaluation.eval_accuracy:.6g} instead of {share:.6g}; "
            "correct eval.py, or leave eval_probabilities out"
        )
    if name == check.job.identity.unlabelled:
        value = {**value, "uses_target_texts": True}
        evaluation = evaluation.model_copy(update={"uses_target_texts": True})
    parts = check.outputs[name].parts
    provenance = {
        "fingerprint": fingerprint(parts),
        "parts": parts,
        "model_content": content,
        "content": evaluation_content(value),
        **origin.provenance(),
        **({} if check.job.tunes else {"tunes": False}),
        "device": value.get("device"),
    }
    write_json(check.job.outputs[name], {**value, "provenance": provenance})
    return evaluation.model_copy(update={"provenance": provenance})


def prepare(staging: Path, check: Check, content: str | None, origin: Origin) -> None:
    """Empty the staging folder, except for the checkpoints of a killed training. For evaluations, write what determines
    them, for `recover`."""
    staging.mkdir(parents=True, exist_ok=True)
    training = check.job.role == "train"
    for entry in staging.iterdir():
        if training and entry.name.startswith("checkpoint-") and entry.is_dir() and not entry.is_symlink():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not training:
        made_from = {name: _made_from(output.parts, content) for name, output in check.wanted.items()}
        write_json(
            staging / _STARTED, {"made_from": made_from, "argv": command(origin.argv), "started": origin.started}
        )


def recover(
    check: Check, staging: Path, content: str | None, hashes: FileHashes, root: Path
) -> dict[Path, Evaluation | None]:
    """Move outputs of a killed run into place that are finished: a complete model, or valid evaluations."""
    job = check.job
    if job.role == "train":
        (place,) = job.outputs.values()
        record = training_record(staging)
        finished = (
            record is not None
            and record.get("fingerprint") == fingerprint(check.parts)
            and record.get("content") == model_content(hashes, staging)
        )
        if finished:
            replace_folder(staging, place)
        return {place: None} if finished else {}
    started = _started(staging)
    done: dict[Path, Evaluation | None] = {}
    for name, file in job.only(check.wanted).staged(staging).items():
        made_from = _made_from(check.outputs[name].parts, content)
        if started.get("made_from", {}).get(name) != made_from or not file.is_file():
            continue
        seconds = max(0.001, file.lstat().st_mtime - (staging / _STARTED).lstat().st_mtime)
        origin = Origin(job.identity, started["argv"], started["started"], root, staging, Outcome(0, seconds))
        try:
            done[job.outputs[name]] = promote_evaluation(check, name, file, origin, content)
        except InputError:
            continue  # incomplete, so it is made again
    return done


def _made_from(parts: Parts, content: str | None) -> list[str | None]:
    return [fingerprint(parts), content]


def _started(staging: Path) -> dict[str, Any]:
    """What `prepare` wrote for evaluations; empty if it is missing or damaged."""
    try:
        return _Started.model_validate(read_json(staging / _STARTED, "record")).model_dump()
    except (InputError, ValidationError, OSError):
        return {}


class _Started(BaseModel):
    made_from: dict[str, list[str | None]]
    argv: list[str]
    started: str


def forget_start(staging: Path) -> None:
    """Let no later run recover the staging folder, because this process moves the valid outputs into place."""
    (staging / _STARTED).unlink(missing_ok=True)


def replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder into place; an older one is deleted only after that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = new.parent / f"replaced-{os.getpid()}-{time.monotonic_ns()}"
    if place.exists() or place.is_symlink():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(new.parent, ignore_errors=True)


def sweep(job: Job, store: Store) -> None:
    """Delete partial files of a killed run; the job's locks ensure that no other run writes there."""
    folders = {store.state_file(job).parent}
    if job.role == "evaluate":
        folders |= {file.parent for file in job.outputs.values()}
    for folder in folders:
        for path in folder.glob(".*.partial"):
            path.unlink(missing_ok=True)


def closed_folders(job: Job, store: Store) -> list[Path]:
    """The folders that a job must not write to: its model, the distributions, and the results of other jobs."""
    distributions = list(job.distributions.values())
    beside = [file.parent for folder in {each.parent for each in distributions} for file in folder.glob("*/train.json")]
    results = [store.results_dir / "evaluations"]
    for folder in store.models_dir.glob("*/"):
        if folder.name == job.variant:  # the job writes below it
            results += folder.glob("[!.]*/")
        elif (folder / ".staging").is_dir() or (folder / "config.json").is_file():  # tuned models, or an untuned one
            results.append(folder)
    closed = dict.fromkeys([job.model_dir, *distributions, *beside, *results])
    return [folder for folder in closed if folder.is_dir()]
