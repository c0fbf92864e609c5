"""Run one job: lock, look for new results, recover, run, validate, promote, record."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genies.contract import Evaluation
from genies.errors import BAD_INPUT, InputError, describe_os_error
from genies.file_hashes import FileHashes
from genies.files import read_json, write_text
from genies.harness.decide import Check
from genies.harness.failures import OUT_OF_DISK, OUT_OF_MEMORY, absent_model, outdated, refusals
from genies.harness.fingerprint import fingerprint, model_content
from genies.harness.job import Job
from genies.harness.locks import Cancelled, locked
from genies.harness.order import Order, Place, Result, Settings
from genies.harness.process import Supervisor, last_lines
from genies.harness.promote import (
    Origin,
    changed_since_planned,
    closed_folders,
    forget_start,
    prepare,
    promote_evaluation,
    promote_model,
    recover,
    sweep,
)
from genies.harness.store import Store, evaluation_standing, model_standing

ATTEMPTS = 3
"""How often a job is tried if the failure has an external cause."""

_FIRST_SMALLER_BUDGET = 256
LEAST_BATCH_TOKENS = 64
"""A job that runs out of memory is tried again with a smaller token budget, but not below this."""

_NO_ROOM = 1 << 14
"""Free bytes on the disk of a failed script's log below which the script may have been unable to log the reason."""

TOGETHER = "genies.methods.training.processes"
"""The module that starts a script in several processes; the harness only runs it, because it imports no torch."""


def carry_out(order: Order, place: Place) -> Result:
    """Run a job to its end under its locks: of two runs with the same job, the second finds the first one's result."""
    title, store = order.job.title, order.settings.store
    try:
        with locked(store.lock_files(order.job), title, place.cancel_fd) as locks:
            sweep(order.job, store)
            found = made_meanwhile(order, place.hashes)
            order = replace(order, check=order.check.without(found))
            if not order.check.run:
                return Result(title, done=_evaluations(found))
            failed = remembered_failure(order) if order.settings.skip_failed else None
            result = failed or _attempts(order, place, locks)
            return replace(result, done={**_evaluations(found), **result.done})
    except Cancelled:
        return Result(title, failure=f"{title}: not started, the run was stopped", cancelled=True)
    except (InputError, OSError) as error:
        return _fault_of_files(title, error)


def _attempts(order: Order, place: Place, locks: list[int]) -> Result:
    """Try a job until it succeeds, fails without an external cause, or has used up its attempts; keep its state file.

    After running out of memory it is tried with smaller batches.
    """
    done: dict[Path, Evaluation] = {}
    budget: int | None = None
    for attempt in range(1, ATTEMPTS + 1):
        write_state(order, "running", attempt=attempt)
        try:
            result = _attempt(order, place, locks, budget)
        except (InputError, OSError) as error:
            result = _fault_of_files(order.job.title, error)
        done |= result.done
        order = replace(order, check=order.check.without(done))
        if result.failure is None or not result.infrastructure or attempt == ATTEMPTS:
            break
        if not order.check.run:  # all outputs exist
            result = replace(result, failure=None)
            break
        if result.out_of_memory:
            budget = _smaller_budget(order, budget)
        print(f"trying again, attempt {attempt + 1} of {ATTEMPTS}: {result.failure}", file=sys.stderr)
    if result.cancelled:
        write_state(order, "planned")
    else:
        forgotten = result.failure is None or result.infrastructure or result.outdated
        remembered = {} if forgotten else {"failure": result.failure}
        write_state(order, "failed" if result.failure else "done", **remembered, bad_input=result.bad_input)
    return replace(result, done=done)


def _attempt(order: Order, place: Place, locks: list[int], budget: int | None) -> Result:
    """One attempt: recover outputs of a killed one, run the script, validate its outputs and move them into place."""
    job, store, hashes = order.job.only(order.check.wanted), order.settings.store, place.hashes
    if not job.model_dir.is_dir():
        text = absent_model(store.shown(job.model_dir))
        return Result(job.title, failure=f"{job.title}: {text}", bad_input=True, outdated=True)
    if changed := changed_since_planned(order.check, hashes, store.root):
        return Result(job.title, failure=f"{job.title}: {outdated(changed)}", outdated=True)
    staging = store.staging(job, fingerprint(order.check.parts))
    content = model_content(hashes, job.model_dir) if job.role == "evaluate" else None
    done = {} if order.settings.fresh else recover(order.check, staging, content, hashes, store.root)
    if left := order.check.without(done).wanted:
        job = job.only(left)
        ran = _run(replace(order, check=Check(job, left)), staging, content, place, locks, budget)
        result = _judge(Check(job, left), staging, ran, content, order.settings, hashes)
        return replace(result, done={**_evaluations(done), **result.done})
    return Result(job.title, done=_evaluations(done))


def _run(
    order: Order, staging: Path, content: str | None, place: Place, locks: list[int], budget: int | None
) -> Origin:
    """Run the script of a job to its end; it writes below `staging`."""
    job, settings, store = order.job, order.settings, order.settings.store
    log = store.new_log(job)
    given = job if budget is None else replace(job, kwargs={**job.kwargs, "batch_tokens": budget})
    argv = given.argv(staging, store.shown)
    if job.role == "train" and settings.processes > 1:
        argv[1:1] = ["-m", TOGETHER, str(settings.processes)]
    origin = Origin(job.identity, argv, datetime.now(UTC).isoformat(timespec="seconds"), store.root, log)
    prepare(staging, order.check, content, origin)
    supervisor = Supervisor(
        argv,
        working_dir=store.root,
        environment=step_environment(settings.threads),
        log_file=log,
        timeout=settings.timeout,
        held_open=locks,
        read_only=closed_folders(job, store) if settings.protect else (),
    )
    with supervisor, place.slot() as gpu:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = supervisor.run(verbose=settings.verbose, cancel_fd=place.cancel_fd, gpu=gpu)
    return replace(origin, started=started, outcome=outcome)


def _judge(
    check: Check, staging: Path, ran: Origin, content: str | None, settings: Settings, hashes: FileHashes
) -> Result:
    """Validate the outputs of a script, move the valid ones into place, and return the job's result."""
    job, store, outcome = check.job, settings.store, ran.outcome
    result = Result(job.title, outcome.seconds, started=True)
    log = f"\n  log: {store.shown(ran.log)}"
    if changed := changed_since_planned(check, hashes, store.root):
        forget_start(staging)
        why = outdated(changed, job.script.name)
        return replace(result, failure=f"{job.title}: {why}{log}", outdated=True)
    failure: str | None = None
    if job.role == "train":
        if outcome.succeeded and not (failure := _no_folder(staging, store)):
            promote_model(check, staging, ran, hashes)
        failure = failure and f"{job.title}: {failure}"
    else:
        done, refused = dict[Path, Evaluation](), dict[Path, InputError]()
        for name, output in job.staged(staging).items():
            try:
                done[job.outputs[name]] = promote_evaluation(check, name, output, ran, content)
            except InputError as error:
                refused[output] = error
        forget_start(staging)
        result = replace(result, done=done)
        failure = refusals(job.title, refused) if refused else None
    if not outcome.succeeded:
        return _failed(result, job, ran, store)
    if failure is None and job.role == "evaluate":
        shutil.rmtree(staging, ignore_errors=True)
    return replace(result, failure=failure and f"{failure}{log}")


def _no_folder(staging: Path, store: Store) -> str | None:
    if staging.is_dir():
        return None
    return f"train.py did not leave the folder {store.shown(staging)}; write what eval.py needs into --output_dir"


def _failed(result: Result, job: Job, ran: Origin, store: Store) -> Result:
    """The result of a job whose script failed."""
    outcome, lines = ran.outcome, last_lines(ran.log)
    said = "".join(f"\n  | {line}" for line in lines)
    out_of_memory = outcome.returncode == -signal.SIGKILL or any(OUT_OF_MEMORY.search(line) for line in lines)
    out_of_disk = any(OUT_OF_DISK.search(line) for line in lines)
    free = shutil.disk_usage(ran.log.parent).free
    if free < _NO_ROOM or (out_of_disk and free < 1 << 20):
        raise OSError(errno.ENOSPC, "the disk is full", str(ran.log))
    by_itself = not (outcome.timed_out or outcome.cancelled)
    from_outside = outcome.returncode < 0 or outcome.error is not None or out_of_memory or out_of_disk
    return replace(
        result,
        failure=f"{job.title}: {job.script.name} {outcome.describe()}\n  log: {store.shown(ran.log)}{said}",
        bad_input=by_itself and (outcome.returncode == BAD_INPUT or out_of_disk),
        infrastructure=by_itself and from_outside,
        out_of_memory=by_itself and out_of_memory,
        cancelled=outcome.cancelled,
    )


def _fault_of_files(title: str, error: InputError | OSError) -> Result:
    """The result of a job whose files could not be read or written; raises `error` again if the disk is full."""
    if isinstance(error, InputError):
        return Result(title, failure=f"{title}: {error}", infrastructure=True)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise error
    failure = f"{title}: {describe_os_error(error) or error}"
    return Result(title, failure=failure, infrastructure=True, bad_input=True)


def step_environment(threads: int | None = None) -> dict[str, str]:
    """The user's environment for a job: unbuffered output, so that logs are complete, and no access to a model hub.

    threads: CPU threads (default: all cores).
    """
    defaults = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads or available_cores()),
    }
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}


def available_cores() -> int:
    """CPU cores that this process may use; a batch system may limit them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def made_meanwhile(order: Order, hashes: FileHashes) -> dict[Path, Evaluation | None]:
    """Files that another run has finished since this run made its plan, with the evaluations in them."""
    found: dict[Path, Evaluation | None] = {}
    if order.settings.fresh:
        return found
    job = order.job
    content = model_content(hashes, job.model_dir) if job.needs is not None else None
    for name, output in order.check.wanted.items():
        path = job.outputs[name]
        if job.role == "train":
            standing, evaluation = model_standing(path, output.parts, hashes), None
        else:
            standing, evaluation = evaluation_standing(path, output.parts, content)
        if standing.state == "current":
            found[path] = evaluation
    return found


def _evaluations(found: Mapping[Path, Evaluation | None]) -> dict[Path, Evaluation]:
    return {path: evaluation for path, evaluation in found.items() if evaluation is not None}


def _smaller_budget(order: Order, tried: int | None) -> int | None:
    """Half the token budget; unchanged if the job has no such argument or has reached the minimum."""
    given = tried or order.job.kwargs.get("batch_tokens")
    budget = given // 2 if isinstance(given, int) else _FIRST_SMALLER_BUDGET
    uses_library = bool(order.check.parts["numerics_version"])
    return budget if uses_library and budget >= LEAST_BATCH_TOKENS else tried


def _mark(order: Order) -> str:
    """Hash of what determines an attempt's outcome: the parts of the outputs and the time limit."""
    parts = [output.parts for output in order.check.wanted.values()]
    return fingerprint({"parts": parts, "timeout": order.settings.timeout})


def write_state(order: Order, state: str, **more: Any) -> None:
    """Write the job's state file. It is only informative: no result depends on it."""
    value = {
        "state": state,
        "step": order.job.title,
        "mark": _mark(order),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **more,
    }
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_text(order.settings.store.state_file(order.job), text, durable=False)


def remembered_failure(order: Order) -> Result | None:
    """The failure of the same job with the same inputs in an earlier run; None if there is none."""
    try:
        value = read_json(order.settings.store.state_file(order.job), "state")
    except (InputError, OSError):
        return None
    if not isinstance(value, dict) or value.get("state") != "failed" or value.get("mark") != _mark(order):
        return None
    failure = value.get("failure")
    if not isinstance(failure, str):
        return None
    again = f"{failure}\n  it failed like this in an earlier run and was not tried again; --retry_failed tries it again"
    return Result(order.job.title, failure=again, bad_input=value.get("bad_input") is True)
