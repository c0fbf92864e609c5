"""A step's order as it crosses to where it runs, and the attempts at it: states kept, infrastructure failures retried.

An order is JSON, so that a thread, a cluster's worker and a line of a batch script all take the same.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from genies.contract import Evaluation
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.files import read_json, write_text
from genies.harness.decide import Decision, EvaluationDecision, TrainingDecision
from genies.harness.fingerprint import fingerprint, model_content
from genies.harness.locks import Cancelled, locked
from genies.harness.results import lock_files, missing, sweep
from genies.harness.step import Place, Result, Run, fault_of_files, run_step
from genies.harness.store import evaluation_standing, model_standing

ATTEMPTS = 3
"""How often a step is tried when it fails for reasons outside of it."""

_FIRST_SMALLER_BUDGET = 256
LEAST_BATCH_TOKENS = 64
"""A step that lacks memory is tried again with a smaller token budget, but not below this."""


@dataclass(frozen=True)
class Order:
    """One step to run, and how."""

    decision: TrainingDecision | EvaluationDecision
    run: Run


_ORDERS = TypeAdapter(Order)
_RESULTS = TypeAdapter(Result)


def order_to_json(order: Order) -> str:
    """The order as one line of JSON."""
    return _ORDERS.dump_json(order).decode()


def order_from_json(text: str) -> Order:
    """The order in a text that order_to_json made; InputError for any other."""
    try:
        return _ORDERS.validate_json(text)
    except ValueError as error:
        raise InputError(f"that is not a step that --emit_commands wrote: {str(error)[:200]}") from None


def result_to_json(result: Result) -> str:
    return _RESULTS.dump_json(result).decode()


def result_from_json(text: str) -> Result:
    return _RESULTS.validate_json(text)


def carry_out(order: Order, place: Place) -> Result:
    """Run a step until it succeeds, fails by itself, or has used up its attempts; its state file tells the tale.

    All under the step's locks, so that of two harnesses one runs the step and the other finds what became of it.
    """
    decision, title = order.decision, order.decision.step.title
    try:
        with locked(lock_files(decision, order.run.store), title, place.cancel_fd) as locks:
            sweep(decision, order.run.store)
            left, done = not_made_meanwhile(order, place.hashes)
            if not left.decision.run:
                return Result(title, done=done)
            failed = remembered_failure(left) if order.run.skip_failed else None
            result = failed or _attempts(left, place, locks)
            return replace(result, done={**done, **result.done})
    except Cancelled:
        return Result(title, failure=f"{title}: not started, the run was stopped", cancelled=True)
    except (InputError, OSError) as error:
        return fault_of_files(title, error)


def _attempts(order: Order, place: Place, locks: list[int]) -> Result:
    decision = order.decision
    done: dict[Path, Evaluation] = {}
    result = Result(decision.step.title)
    for attempt in range(1, ATTEMPTS + 1):
        write_state(order, "running", attempt=attempt)
        result = run_step(decision, order.run, place, locks)
        done |= result.done
        decision = without(decision, result.done)
        if result.failure is None or not result.infrastructure or attempt == ATTEMPTS:
            break
        if not decision.run:  # all it was for is there
            result = replace(result, failure=None)
            break
        if result.out_of_memory:
            decision = with_smaller_batches(decision) or decision
        print(f"trying again, attempt {attempt + 1} of {ATTEMPTS}: {result.failure}", file=sys.stderr)
    if result.cancelled:
        write_state(order, "planned")
    else:
        forgotten = result.infrastructure or result.outdated
        remembered = {"failure": result.failure} if result.failure and not forgotten else {}
        left = replace(order, decision=without(order.decision, done))
        write_state(left, "failed" if result.failure else "done", **remembered, bad_input=result.bad_input)
    return replace(result, done=done)


def not_made_meanwhile(order: Order, hashes: FileHashes) -> tuple[Order, dict[Path, Evaluation]]:
    """The step without what another harness finished since this one made its plan, and the evaluations among that."""
    decision, found = order.decision, dict[Path, Evaluation]()
    if order.run.fresh:
        return order, found
    model_dir = decision.step.model_dir
    if isinstance(decision, TrainingDecision):
        trained = model_standing(model_dir, decision.parts, hashes).state == "current"
        return replace(order, decision=replace(decision, run=not trained)), found
    content = model_content(hashes, model_dir) if decision.step.training else None
    for each in missing(decision.targets, found):
        path = each.target.evaluation_file
        standing, evaluation = evaluation_standing(path, each.parts, content)
        if standing.state == "current" and evaluation is not None:
            found[path] = evaluation
    return replace(order, decision=without(decision, found)), found


def without(decision: Decision, done: Mapping[Path, Evaluation]) -> Decision:
    """The step as a next run will plan it: what is done of it need not run again."""
    if isinstance(decision, TrainingDecision):
        return decision
    return replace(
        decision, targets=[replace(each, run=each in missing(decision.targets, done)) for each in decision.targets]
    )


def with_smaller_batches(decision: Decision) -> Decision | None:
    """The step with half its token budget; None when it does not take one, or has reached the least."""
    parts = decision.parts if isinstance(decision, TrainingDecision) else decision.targets[0].parts
    kwargs = decision.step.kwargs
    given = kwargs.get("batch_tokens")
    budget = given // 2 if isinstance(given, int) else _FIRST_SMALLER_BUDGET
    if not parts["numerics_version"] or budget < LEAST_BATCH_TOKENS:  # it does not use our library, which takes one
        return None
    kwargs = {**kwargs, "batch_tokens": budget}
    if isinstance(decision, TrainingDecision):
        return replace(decision, step=replace(decision.step, kwargs=kwargs))
    return replace(decision, step=replace(decision.step, kwargs=kwargs))


def mark(order: Order) -> str:
    """Hash of what an attempt's outcome depends on: the step's parts and its time limit."""
    decision = order.decision
    if isinstance(decision, TrainingDecision):
        parts = [decision.parts]
    else:
        parts = [each.parts for each in decision.targets if each.run]
    return fingerprint({"parts": parts, "timeout": order.run.timeout})


def write_state(order: Order, state: str, **more: Any) -> None:
    """Say in the step's state file what has become of it; only told, so that losing it loses nothing."""
    value = {
        "state": state,
        "step": order.decision.step.title,
        "mark": mark(order),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **more,
    }
    write_text(_state_file(order), json.dumps(value, ensure_ascii=False, indent=2) + "\n", durable=False)


def remembered_failure(order: Order) -> Result | None:
    """The failure of the same step with the same inputs in an earlier run; None when there is none."""
    try:
        value = read_json(_state_file(order), "state")
    except (InputError, OSError):
        return None
    if not isinstance(value, dict) or value.get("state") != "failed" or value.get("mark") != mark(order):
        return None
    failure = value.get("failure")
    if not isinstance(failure, str):
        return None
    title = order.decision.step.title
    again = f"{failure}\n  it failed so in an earlier run and was not tried again; --retry_failed does"
    return Result(title, failure=again, bad_input=value.get("bad_input") is True)


def _state_file(order: Order) -> Path:
    step = order.decision.step
    kind = "train" if isinstance(order.decision, TrainingDecision) else "evaluate"
    return order.run.store.state_file(kind, step.intervention, step.model_name)
