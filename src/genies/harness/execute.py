"""The life of a job: lock, look for new results, attempt, try again, record."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.file_hashes import FileHashes
from genies.folder_hashes import model_content
from genies.harness.attempt import Attempt, evaluations
from genies.harness.failures import fault_of_files
from genies.harness.order import Order, Place, Result
from genies.harness.promote import sweep
from genies.harness.state import remembered_failure, write_state
from genies.harness.store import evaluation_standing, model_standing
from genies.locks import Cancelled, locked

ATTEMPTS = 3
"""How often a job is tried if the failure has an external cause."""

_FIRST_SMALLER_BUDGET = 256
LEAST_BATCH_TOKENS = 64
"""A job that runs out of memory is tried again with a smaller token budget, but not below this."""


def carry_out(order: Order, place: Place) -> Result:
    """Run a job to its end under its locks: of two runs with the same job, the second finds the first one's result."""
    title, store = order.job.title, order.settings.store
    try:
        with locked(store.lock_files(order.job), title, place.cancel_fd) as locks:
            sweep(order.job, store)
            found = made_meanwhile(order, place.hashes)
            order = replace(order, check=order.check.without(found))
            if not order.check.run:
                return Result(title, done=evaluations(found))
            known = remembered_failure(order) if order.settings.skip_failed else None
            result = known or _attempts(order, place, locks)
            return replace(result, done={**evaluations(found), **result.done})
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
            result = Attempt(order, place, locks, budget).result()
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


def _smaller_budget(order: Order, tried: int | None) -> int | None:
    """Half the token budget; unchanged if the job has no such argument or has reached the minimum."""
    given = tried or order.job.kwargs.get("batch_tokens")
    budget = given // 2 if isinstance(given, int) else _FIRST_SMALLER_BUDGET
    uses_library = bool(order.check.parts["numerics_version"])
    return budget if uses_library and budget >= LEAST_BATCH_TOKENS else tried
