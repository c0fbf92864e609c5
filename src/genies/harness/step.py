"""Run one step: staging folder, process, checks of what it left, and the move into place."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genies.contract import evaluation_items, read_evaluation, train_items
from genies.errors import BAD_INPUT, InputError
from genies.files import write_json
from genies.harness.decide import Decision, EvaluationDecision, TargetDecision, TrainingDecision
from genies.harness.fingerprint import TRAINING_RECORD, fingerprint, model_content
from genies.harness.hashes import FileHashes
from genies.harness.process import Outcome, last_lines, run_process
from genies.harness.provenance import command, surroundings
from genies.harness.store import Store, evaluation_standing, model_standing


@dataclass(frozen=True)
class Run:
    """How steps are run."""

    store: Store
    timeout: float | None = None
    """Seconds a step may take."""
    verbose: bool = False
    """Show the steps' output as it comes."""
    fresh: bool = False
    """Never take over what another harness finished meanwhile: the user asked for nothing to be reused."""
    threads: int | None = None
    """Processor threads for a step (default: all cores)."""


@dataclass(frozen=True)
class Place:
    """Where a step runs: what differs from one slot to the next."""

    hashes: FileHashes
    cancel_fd: int | None = None
    """Becomes readable when the step is to be ended."""
    gpu: str | None = None
    """The one GPU the step may see, as CUDA_VISIBLE_DEVICES names it (default: all)."""


@dataclass(frozen=True)
class Result:
    """How a step went."""

    title: str
    seconds: float = 0.0
    failure: str | None = None
    """What went wrong, where to look and what the log says last; None when all is well."""
    bad_input: bool = False
    """The step was given something it cannot work with, as its exit status 2 or an absent base model says."""
    infrastructure: bool = False
    """It failed for a reason outside of it, as a signal or a lack of memory: another attempt may succeed."""
    out_of_memory: bool = False
    cancelled: bool = False
    started: bool = False
    """A process was started for it."""
    done: frozenset[Path] = field(default_factory=frozenset)
    """Evaluation files that hold this step's results now."""


def run_training(decision: TrainingDecision, run: Run, place: Place) -> Result:
    """Train into a staging folder and move it into place; the model that lay there before is replaced."""
    step, store = decision.step, run.store
    if not step.base_model_dir.is_dir():
        return _absent_base_model(step.title, step.base_model_dir, store)
    with _locked(store.lock_file(step.model_dir), step.title):
        if not run.fresh and model_standing(step.model_dir, decision.parts, place.hashes).state == "current":
            return Result(step.title)  # another harness trained it while this one waited
        mark = fingerprint(decision.parts)
        staging = store.training_staging(step.intervention, step.model_name, mark)
        _prepare(staging, keep_checkpoints=True)
        log = store.new_log(step.intervention, step.model_name, "train")
        items = train_items(
            store.shown(step.base_model_dir), store.shown(step.source_dir), store.shown(staging), step.kwargs
        )
        argv = [sys.executable, store.shown(step.intervention_dir / "train.py"), *items]
        started = _now()
        outcome = _start(argv, log, run, place)
        if not outcome.succeeded:
            return _failed(step.title, "train.py", outcome, log, store)
        if not staging.is_dir():
            return Result(
                step.title,
                outcome.seconds,
                started=True,
                failure=f"{step.title}: train.py left no folder {store.shown(staging)}; "
                f"it must leave what eval.py needs in --output_dir\n  log: {store.shown(log)}",
            )
        # The record is written last: a folder without it was not finished.
        content = model_content(place.hashes, staging)
        record = {
            "fingerprint": mark,
            "parts": decision.parts,
            "content": content,
            **_provenance(argv, started, outcome, store),
        }
        write_json(staging / TRAINING_RECORD, record)
        _replace_folder(staging, step.model_dir)
        return Result(step.title, outcome.seconds, started=True)


def run_evaluation(decision: EvaluationDecision, run: Run, place: Place) -> Result:
    """Evaluate the targets that must run, and keep every valid evaluation, whatever becomes of the others."""
    step, store = decision.step, run.store
    if not step.model_dir.is_dir():
        return _absent_base_model(step.title, step.model_dir, store)
    model_lock = step.model_dir if step.training else decision.targets[0].target.evaluation_file.parent
    with _locked(store.lock_file(model_lock), step.title):
        content = model_content(place.hashes, step.model_dir)
        recorded = content if step.training else None
        wanted = [each for each in decision.targets if each.run]
        if not run.fresh:
            wanted = [each for each in wanted if not _is_current(each, recorded)]
        if not wanted:
            return Result(step.title, done=_files(decision.targets))
        staging = store.evaluation_staging(step.intervention, step.model_name)
        _prepare(staging)
        outputs = [staging / each.target.evaluation_file.name for each in wanted]
        log = store.new_log(step.intervention, step.model_name, "evaluate")
        items = evaluation_items(
            store.shown(step.model_dir),
            [store.shown(each.target.distribution_dir) for each in wanted],
            [store.shown(path) for path in outputs],
            step.kwargs,
        )
        argv = [sys.executable, store.shown(step.intervention_dir / "eval.py"), *items]
        started = _now()
        outcome = _start(argv, log, run, place)
        origin = _provenance(argv, started, outcome, store)
        done, refused = set[Path](), list[str]()
        for each, output in zip(wanted, outputs, strict=True):
            try:
                _promote(each, output, origin, content)
                done.add(each.target.evaluation_file)
            except InputError as error:
                refused.append(f"{step.title}, distribution {each.target.distribution_dir.name}: {error}")
        if not outcome.succeeded:
            return replace(_failed(step.title, "eval.py", outcome, log, store), done=frozenset(done))
        if refused:
            failure = "\n".join(refused) + f"\n  log: {store.shown(log)}"
            return Result(step.title, outcome.seconds, failure, started=True, done=frozenset(done))
        shutil.rmtree(staging, ignore_errors=True)
        return Result(step.title, outcome.seconds, started=True, done=frozenset(done))


def _is_current(decision: TargetDecision, content: str | None) -> bool:
    standing = evaluation_standing(decision.target.evaluation_file, decision.parts, content)
    return standing.state == "current"


def _files(targets: list[TargetDecision]) -> frozenset[Path]:
    return frozenset(each.target.evaluation_file for each in targets)


def _promote(decision: TargetDecision, output: Path, origin: Mapping[str, Any], content: str | None) -> None:
    """Check what eval.py wrote and put it in place with its provenance."""
    if output.is_symlink():
        raise InputError(f"evaluation {output} is a link; expected a JSON file")
    _, value = read_evaluation(output)
    provenance = {
        "fingerprint": fingerprint(decision.parts),
        "parts": decision.parts,
        "model_content": content,
        **origin,
        "device": value.get("device"),
    }
    write_json(decision.target.evaluation_file, {**value, "provenance": provenance})


def _provenance(argv: list[str], started: str, outcome: Outcome, store: Store) -> dict[str, Any]:
    return {
        "argv": command(argv),
        "started": started,
        "seconds": round(outcome.seconds, 3),
        **surroundings(store.root),
    }


def _start(argv: list[str], log: Path, run: Run, place: Place) -> Outcome:
    return run_process(
        argv,
        working_dir=run.store.root,
        environment=step_environment(run.threads, place.gpu),
        log_file=log,
        timeout=run.timeout,
        verbose=run.verbose,
        cancel_fd=place.cancel_fd,
    )


def step_environment(threads: int | None = None, gpu: str | None = None) -> dict[str, str]:
    """The user's environment, with output unbuffered so that logs are whole, and no model hub: steps stay off line.

    threads: processor threads (default: all cores). gpu: the one GPU to be seen (default: all).
    """
    defaults = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads or os.cpu_count() or 1),
    }
    pinned = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1", **pinned}


@contextmanager
def _locked(lock_file: Path, title: str) -> Iterator[None]:
    """Hold the step's lock; another harness that works on the same result is waited for."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another run that holds {title}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _prepare(staging: Path, keep_checkpoints: bool = False) -> None:
    """An empty staging folder, but for the checkpoints of an attempt that was killed."""
    staging.mkdir(parents=True, exist_ok=True)
    for entry in staging.iterdir():
        if keep_checkpoints and entry.name.startswith("checkpoint-") and entry.is_dir() and not entry.is_symlink():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder into place; what lay there is deleted only after that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = new.parent / f"replaced-{os.getpid()}-{time.monotonic_ns()}"
    if place.exists() or place.is_symlink():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(new.parent, ignore_errors=True)


def _absent_base_model(title: str, folder: Path, store: Store) -> Result:
    return Result(
        title,
        failure=f"{title}: model folder {store.shown(folder)} does not exist; "
        "fetch one with download_model_from_hf.py or name another with --base_model_dir",
        bad_input=True,
    )


_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory", re.IGNORECASE)


def _failed(title: str, script: str, outcome: Outcome, log: Path, store: Store) -> Result:
    lines = last_lines(log)
    if any("No space left on device" in line for line in lines):
        raise InputError(
            f"{title}: the disk is full; free some space and run the same command again ({store.shown(log)})"
        )
    said = "".join(f"\n  | {line}" for line in lines)
    out_of_memory = outcome.returncode == -signal.SIGKILL or any(_OUT_OF_MEMORY.search(line) for line in lines)
    by_itself = not (outcome.timed_out or outcome.cancelled)
    return Result(
        title,
        outcome.seconds,
        failure=f"{title}: {script} {outcome.describe()}\n  log: {store.shown(log)}{said}",
        bad_input=by_itself and outcome.returncode == BAD_INPUT,
        infrastructure=by_itself and (outcome.returncode < 0 or outcome.error is not None or out_of_memory),
        out_of_memory=by_itself and out_of_memory,
        cancelled=outcome.cancelled,
        started=True,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_step(decision: Decision, run: Run, place: Place) -> Result:
    """One attempt at a training or an evaluation step."""
    if isinstance(decision, TrainingDecision):
        return run_training(decision, run, place)
    return run_evaluation(decision, run, place)
