"""What a step left: checked, given its provenance, and moved into place."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.contract import Evaluation, read_evaluation
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.files import write_json
from genies.harness.agreement import ROUNDED_TOLERANCE, accuracy_of_pairs
from genies.harness.decide import Decision, EvaluationDecision, TargetDecision, TrainingDecision
from genies.harness.fingerprint import (
    TRAINING_RECORD,
    Identities,
    Parts,
    differences,
    fingerprint,
    model_content,
    unknown_parts,
)
from genies.harness.locks import check_lock_folder
from genies.harness.process import Outcome
from genies.harness.provenance import command, surroundings
from genies.harness.store import Store, evaluation_content, training_record

LARGEST_EVALUATION = 64 << 20
"""Bytes; an evaluation of a million pairs has a quarter of it."""


@dataclass(frozen=True)
class Origin:
    """How a result came to be, but for what it was made from."""

    argv: list[str]
    started: str
    """UTC, ISO 8601."""
    outcome: Outcome
    root: Path

    def provenance(self) -> dict[str, Any]:
        return {
            "argv": command(self.argv),
            "started": self.started,
            "seconds": round(self.outcome.seconds, 3),
            **surroundings(self.root),
        }


def changed_since_planned(decision: Decision, hashes: FileHashes, root: Path) -> list[str]:
    """The parts of a step that are no longer what the plan says: what it would make is something else."""
    identities = Identities(hashes, root)
    step = decision.step
    if isinstance(decision, TrainingDecision):
        now = identities.training_parts(
            decision.step.intervention_dir, decision.step.base_model_dir, decision.step.source_dir, step.kwargs
        )
        return _changed(now, decision.parts)
    changed = _changed_model(decision, identities)
    for each in decision.targets:
        if each.run:
            folder = each.target.distribution_dir
            model = each.parts["model"]
            now = identities.evaluation_parts(
                step.intervention_dir, decision.step.model_dir, model, folder, step.kwargs
            )
            changed += _changed(now, each.parts)
    return sorted(set(changed))


def _changed(now: Parts, planned: Parts) -> list[str]:
    """Unlike in a plan, for a step that runs what is not there is a change: what was there when it was planned."""
    gone = set(unknown_parts(now)) - set(unknown_parts(planned))
    return differences(now, planned) + [f"{name} (gone)" for name in sorted(gone)]


def _changed_model(decision: EvaluationDecision, identities: Identities) -> list[str]:
    meant = next(each.parts["model"] for each in decision.targets if each.run)
    model_dir = decision.step.model_dir
    content = identities.model(model_dir)
    if content is None:
        return ["model (gone)"]
    if meant.keys() == {"files"}:
        return [] if meant["files"] == content else ["model"]
    record = training_record(model_dir)
    if record is None or record.get("content") != content or differences(meant, record.get("parts") or {}):
        return ["model"]
    return []


def finish_training(decision: TrainingDecision, staging: Path, origin: Origin, hashes: FileHashes) -> None:
    """Give a finished staging folder its record and move it into place; the record is written last of all."""
    record = {
        "fingerprint": fingerprint(decision.parts),
        "parts": decision.parts,
        "content": model_content(hashes, staging),
        **origin.provenance(),
    }
    flush_folder(staging)
    write_json(staging / TRAINING_RECORD, record)
    replace_folder(staging, decision.step.model_dir)


def is_finished(staging: Path, decision: TrainingDecision, hashes: FileHashes) -> bool:
    """Whether a staging folder holds the whole model of this step: its harness was killed before the last move."""
    record = training_record(staging)
    return (
        record is not None
        and record.get("fingerprint") == fingerprint(decision.parts)
        and record.get("content") == model_content(hashes, staging)
    )


def promote(decision: TargetDecision, output: Path, origin: Origin, content: str | None) -> Evaluation:
    """Check what eval.py wrote, put it in place with its provenance, and return it."""
    try:
        status = output.lstat()
    except FileNotFoundError:
        raise InputError(f"evaluation {output} does not exist; expected one JSON file for each distribution") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"evaluation {output} is no regular file; expected a JSON file")
    if status.st_size > LARGEST_EVALUATION:
        raise InputError(
            f"evaluation {output} has {status.st_size >> 20} MiB; expected at most {LARGEST_EVALUATION >> 20}"
        )
    evaluation, value = read_evaluation(output)
    share = accuracy_of_pairs(evaluation, ROUNDED_TOLERANCE)
    if share is not None:
        raise InputError(
            f"evaluation {output}: field eval_accuracy: expected the share of eval_probabilities above one half (a tie "
            f"counts half), got {evaluation.eval_accuracy:.6g} where that is {share:.6g}; "
            "mend it, or leave eval_probabilities out"
        )
    provenance = {
        "fingerprint": fingerprint(decision.parts),
        "parts": decision.parts,
        "model_content": content,
        "content": evaluation_content(value),
        **origin.provenance(),
        "device": value.get("device"),
    }
    write_json(decision.target.evaluation_file, {**value, "provenance": provenance})
    return evaluation.model_copy(update={"provenance": provenance})


def prepare(staging: Path, keep_checkpoints: bool = False) -> None:
    """An empty staging folder, but for the checkpoints of an attempt that was killed."""
    staging.mkdir(parents=True, exist_ok=True)
    for entry in staging.iterdir():
        if keep_checkpoints and entry.name.startswith("checkpoint-") and entry.is_dir() and not entry.is_symlink():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def flush_folder(folder: Path) -> None:
    """Have the files of a folder on the disk before anything says that they are there."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder into place; what lay there is deleted only after that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = new.parent / f"replaced-{os.getpid()}-{time.monotonic_ns()}"
    if place.exists() or place.is_symlink():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(new.parent, ignore_errors=True)


def sweep(decision: Decision, store: Store) -> None:
    """Delete files that a killed harness left half-written; under the step's locks nobody else writes there."""
    step = decision.step
    folders = {store.state_file("", step.intervention, step.model_name).parent}
    if not isinstance(decision, TrainingDecision):
        folders |= {each.target.evaluation_file.parent for each in decision.targets}
    for folder in folders:
        for path in folder.glob(".*.partial"):
            path.unlink(missing_ok=True)


def missing(targets: Sequence[TargetDecision], done: Mapping[Path, Evaluation]) -> list[TargetDecision]:
    """The targets that must run and have no result yet."""
    return [each for each in targets if each.run and each.target.evaluation_file not in done]


def closed_folders(decision: Decision, store: Store) -> list[Path]:
    """The folders that a step has no business writing to: its model, distributions, and what other steps have made."""
    step = decision.step
    if isinstance(decision, TrainingDecision):
        model_dir, distributions = decision.step.base_model_dir, [decision.step.source_dir]
    else:
        model_dir = step.model_dir
        distributions = [each.target.distribution_dir for each in decision.targets if each.run]
    beside = [file.parent for folder in {each.parent for each in distributions} for file in folder.glob("*/train.json")]
    results = [store.results_dir / "evaluations"]
    for folder in store.models_dir.glob("*/"):
        if folder.name == step.intervention:  # the step writes below it
            results += folder.glob("[!.]*/")
        elif (folder / ".staging").is_dir() or (folder / "config.json").is_file():  # tuned models, or an untuned one
            results.append(folder)
    return [folder for folder in dict.fromkeys([model_dir, *distributions, *beside, *results]) if folder.is_dir()]


def check_locks(decisions: Sequence[Decision], store: Store) -> None:
    """InputError, before anything runs, when the steps that will run could not take their locks."""
    needed = {file.parent for each in decisions if each.run for file in lock_files(each, store)}
    for folder, argument in ((store.models_dir, "models_dir"), (store.results_dir, "results_dir")):
        if folder / ".locks" in needed:
            check_lock_folder(folder, argument)


def lock_files(decision: Decision, store: Store) -> list[Path]:
    """The locks of a step: that of the model, and for an evaluation that of the folder it writes to."""
    if isinstance(decision, TrainingDecision):
        return [store.lock_file(decision.step.model_dir)]
    folder = decision.targets[0].target.evaluation_file.parent
    return [store.lock_file(decision.step.model_dir), store.lock_file(folder)]
