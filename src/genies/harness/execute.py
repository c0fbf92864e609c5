"""Run one job: lock, look for new results, recover, run, validate, promote, record."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from genies.contract import Evaluation
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.folder_hashes import model_content
from genies.harness.decide import Check
from genies.harness.failures import absent_model, failed, fault_of_files, outdated, refusals
from genies.harness.fingerprint import fingerprint
from genies.harness.order import Order, Place, Result, Settings
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
from genies.harness.state import remembered_failure, write_state
from genies.harness.store import Store, evaluation_standing, model_standing
from genies.locks import Cancelled, locked
from genies.processes.process import Supervisor, step_environment

ATTEMPTS = 3
"""How often a job is tried if the failure has an external cause."""

_FIRST_SMALLER_BUDGET = 256
LEAST_BATCH_TOKENS = 64
"""A job that runs out of memory is tried again with a smaller token budget, but not below this."""

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
            known = remembered_failure(order) if order.settings.skip_failed else None
            result = known or _attempts(order, place, locks)
            return replace(result, done={**_evaluations(found), **result.done})
    except Cancelled:
        return Result(title, failure=f"{title}: not started, the run was stopped", cancelled=True)
    except (InputError, OSError) as error:
        return fault_of_files(title, error)


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
            result = fault_of_files(order.job.title, error)
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
        return failed(result, job, ran.outcome, ran.log, store)
    if failure is None and job.role == "evaluate":
        shutil.rmtree(staging, ignore_errors=True)
    return replace(result, failure=failure and f"{failure}{log}")


def _no_folder(staging: Path, store: Store) -> str | None:
    if staging.is_dir():
        return None
    return f"train.py did not leave the folder {store.shown(staging)}; write what eval.py needs into --output_dir"


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
