"""One attempt at a step: its process, and what becomes of what it left."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from genies.contract import Evaluation, evaluation_items, train_items
from genies.errors import BAD_INPUT, InputError, describe_os_error
from genies.file_hashes import FileHashes
from genies.harness.decide import Decision, EvaluationDecision, TrainingDecision
from genies.harness.fingerprint import fingerprint, model_content
from genies.harness.process import Outcome, Supervisor, last_lines
from genies.harness.refusals import refusals
from genies.harness.results import (
    Origin,
    changed_since_planned,
    closed_folders,
    finish_training,
    is_finished,
    prepare,
    promote,
    replace_folder,
)
from genies.harness.store import Store

TOGETHER = "genies.methods.training.processes"
"""The module that starts a script in several processes; run by name, for the harness imports nothing that trains."""


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
    skip_failed: bool = False
    """Do not try again what failed with the same inputs before."""
    protect: bool = True
    """Close to a step, where the system allows it, what it is given and what others have made."""
    threads: int | None = None
    """Processor threads for a step (default: all cores)."""
    processes: int = 1
    """Processes that train one model together, for a train.py that is written for it."""


@dataclass(frozen=True)
class Place:
    """Where a step runs: what differs from one slot to the next."""

    hashes: FileHashes
    cancel_fd: int | None = None
    """Becomes readable when the step is to be ended."""
    slots: SimpleQueue[str | None] | None = None
    """The free slots of this machine, each with the one GPU that its steps see, as CUDA_VISIBLE_DEVICES names it, or
    None for all of them. A step takes one only while its process runs (default: it need not wait for any)."""

    @contextmanager
    def slot(self) -> Iterator[str | None]:
        """Wait for a slot and keep it: everything before and after belongs outside."""
        if self.slots is None:
            yield None
            return
        gpu = self.slots.get()
        try:
            yield gpu
        finally:
            self.slots.put(gpu)


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
    outdated: bool = False
    """What it was planned from has changed meanwhile: it takes a new plan, not another attempt."""
    out_of_memory: bool = False
    cancelled: bool = False
    started: bool = False
    """A process was started for it."""
    done: dict[Path, Evaluation] = field(default_factory=dict)
    """The evaluations that this step answers with, by their files."""


def run_step(decision: Decision, run: Run, place: Place, locks: list[int]) -> Result:
    """One attempt at a training or an evaluation step, under its locks.

    Raises OSError for a full disk alone: every other fault of the files around a step fails that step.
    """
    try:
        if isinstance(decision, TrainingDecision):
            return _train(decision, run, place, locks)
        return _evaluate(decision, run, place, locks)
    except (InputError, OSError) as error:
        return fault_of_files(decision.step.title, error)


def fault_of_files(title: str, error: InputError | OSError) -> Result:
    """The result of a step whose files could not be read or written; raises the error again when the disk is full."""
    if isinstance(error, InputError):
        return Result(title, failure=f"{title}: {error}", infrastructure=True)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise error
    failure = f"{title}: {describe_os_error(error) or error}"
    return Result(title, failure=failure, infrastructure=True, bad_input=True)


def _train(decision: TrainingDecision, run: Run, place: Place, locks: list[int]) -> Result:
    step, store = decision.step, run.store
    if not step.base_model_dir.is_dir():
        return _absent_model(step.title, step.base_model_dir, store)
    if changed := changed_since_planned(decision, place.hashes, store.root):
        return _outdated(step.title, changed)
    staging = store.training_staging(step.intervention, step.model_name, fingerprint(decision.parts))
    if not run.fresh and is_finished(staging, decision, place.hashes):
        replace_folder(staging, step.model_dir)
        return Result(step.title)
    prepare(staging, keep_checkpoints=True)
    items = train_items(
        store.shown(step.base_model_dir), store.shown(step.source_dir), store.shown(staging), step.kwargs
    )
    origin, log = _start(decision, "train", items, run, place, locks)
    outcome = origin.outcome
    if changed := changed_since_planned(decision, place.hashes, store.root):
        return _outdated(step.title, changed, "train.py", outcome, store.shown(log))
    if not outcome.succeeded:
        return _failed(step.title, "train.py", outcome, log, store)
    if not staging.is_dir():
        failure = f"train.py left no folder {store.shown(staging)}; it must leave what eval.py needs in --output_dir"
        return Result(step.title, outcome.seconds, f"{step.title}: {failure}\n  log: {store.shown(log)}", started=True)
    finish_training(decision, staging, origin, place.hashes)
    return Result(step.title, outcome.seconds, started=True)


def _evaluate(decision: EvaluationDecision, run: Run, place: Place, locks: list[int]) -> Result:
    """Evaluate the targets that must run, and keep every valid evaluation, whatever becomes of the others."""
    step, store = decision.step, run.store
    if not step.model_dir.is_dir():
        return _absent_model(step.title, step.model_dir, store)
    content = model_content(place.hashes, step.model_dir)
    wanted = [each for each in decision.targets if each.run]
    if changed := changed_since_planned(decision, place.hashes, store.root):
        return _outdated(step.title, changed)
    staging = store.evaluation_staging(step.intervention, step.model_name)
    prepare(staging)
    outputs = [staging / each.target.evaluation_file.name for each in wanted]
    items = evaluation_items(
        store.shown(step.model_dir),
        [store.shown(each.target.distribution_dir) for each in wanted],
        [store.shown(path) for path in outputs],
        step.kwargs,
    )
    origin, log = _start(decision, "evaluate", items, run, place, locks)
    outcome = origin.outcome
    if changed := changed_since_planned(decision, place.hashes, store.root):
        return _outdated(step.title, changed, "eval.py", outcome, store.shown(log))
    done: dict[Path, Evaluation] = {}
    refused: dict[Path, InputError] = {}
    for each, output in zip(wanted, outputs, strict=True):
        try:
            done[each.target.evaluation_file] = promote(each, output, origin, content)
        except InputError as error:
            refused[output] = error
    if not outcome.succeeded:
        return replace(_failed(step.title, "eval.py", outcome, log, store), done=done)
    if refused:
        failure = f"{refusals(step.title, refused)}\n  log: {store.shown(log)}"
        return Result(step.title, outcome.seconds, failure, started=True, done=done)
    shutil.rmtree(staging, ignore_errors=True)
    return Result(step.title, outcome.seconds, started=True, done=done)


def _start(
    decision: Decision, kind: str, items: list[str], run: Run, place: Place, locks: list[int]
) -> tuple[Origin, Path]:
    """Run a step's script to its end; how it came to be, and its log."""
    step, store = decision.step, run.store
    script = "train.py" if kind == "train" else "eval.py"
    together = ["-m", TOGETHER, str(run.processes)] if kind == "train" and run.processes > 1 else []
    argv = [sys.executable, *together, store.shown(step.intervention_dir / script), *items]
    log = store.new_log(step.intervention, step.model_name, kind)
    supervisor = Supervisor(
        argv,
        working_dir=store.root,
        environment=step_environment(run.threads),
        log_file=log,
        timeout=run.timeout,
        held_open=locks,
        read_only=closed_folders(decision, store) if run.protect else (),
    )
    with supervisor, place.slot() as gpu:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = supervisor.run(verbose=run.verbose, cancel_fd=place.cancel_fd, gpu=gpu)
    return Origin(argv, started, outcome, store.root), log


def step_environment(threads: int | None = None) -> dict[str, str]:
    """The user's environment, with output unbuffered so that logs are whole, and no model hub: steps stay off line.

    threads: processor threads (default: all cores).
    """
    defaults = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads or available_cores()),
    }
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}


def available_cores() -> int:
    """Processor cores this process may use, which a batch system may have made fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _absent_model(title: str, folder: Path, store: Store) -> Result:
    return Result(
        title,
        failure=f"{title}: model folder {store.shown(folder)} does not exist; expected a base model, which "
        "download_model_from_hf.py fetches, or a tuned one, which api/train.py makes",
        bad_input=True,
        outdated=True,
    )


def _outdated(
    title: str, changed: Sequence[str], script: str = "", outcome: Outcome | None = None, log: str = ""
) -> Result:
    names = ", ".join(changed)
    if outcome is None:
        why = f"changed since the run was planned, or replaced by another run: {names}; run the same command again"
        return Result(title, failure=f"{title}: {why}", outdated=True)
    if any(name.endswith("(gone)") for name in changed):
        why = f"{script} ran, and what it was given is no longer there: {names}; a step must leave alone what it reads"
    elif "intervention_files" in changed:
        why = f"files of the intervention's folder changed while {script} ran ({names}); write under --output_dir alone"
    else:
        why = f"changed while {script} ran: {names}; leave what a step reads alone, and run the same command again"
    return Result(title, outcome.seconds, f"{title}: {why}\n  log: {log}", outdated=True, started=True)


_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory", re.IGNORECASE)
_OUT_OF_DISK = re.compile(r"No space left on device|Disk quota exceeded|File too large")


def _failed(title: str, script: str, outcome: Outcome, log: Path, store: Store) -> Result:
    lines = last_lines(log)
    said = "".join(f"\n  | {line}" for line in lines)
    out_of_memory = outcome.returncode == -signal.SIGKILL or any(_OUT_OF_MEMORY.search(line) for line in lines)
    out_of_disk = any(_OUT_OF_DISK.search(line) for line in lines)
    if out_of_disk and shutil.disk_usage(log.parent).free < 1 << 20:
        raise OSError(errno.ENOSPC, "the disk is full", str(log))
    by_itself = not (outcome.timed_out or outcome.cancelled)
    from_outside = outcome.returncode < 0 or outcome.error is not None or out_of_memory or out_of_disk
    return Result(
        title,
        outcome.seconds,
        failure=f"{title}: {script} {outcome.describe()}\n  log: {store.shown(log)}{said}",
        bad_input=by_itself and (outcome.returncode == BAD_INPUT or out_of_disk),
        infrastructure=by_itself and from_outside,
        out_of_memory=by_itself and out_of_memory,
        cancelled=outcome.cancelled,
        started=True,
    )
