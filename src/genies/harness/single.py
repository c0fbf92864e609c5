"""One step by itself, under the same care as in the main job: train one model, or evaluate one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from genies.cache import cache_dir
from genies.contract import read_evaluation
from genies.errors import BAD_INPUT
from genies.file_hashes import FileHashes
from genies.harness.decide import Check, Policy, check_evaluation, check_training
from genies.harness.execute import Order, Place, Result, carry_out
from genies.harness.fingerprint import Identities
from genies.harness.hardware import all_hidden, this_machine
from genies.harness.inputs import check_inputs, check_locks
from genies.harness.main_job import termination_as_interrupt
from genies.harness.request import EvaluateRequest, Places, TrainRequest


def train(request: TrainRequest, root: Path) -> int:
    """Train one model, unless the same one is there; the exit status."""
    identities = _identities(root)
    check = check_training(request.job(root), request.retrain, identities)
    result = _run(check, request, root, identities.hashes, request.retrain)
    if result.failure is None:
        (folder,), (output,) = check.job.outputs.values(), check.outputs.values()
        state = "trained" if check.run else "reused, unverified" if output.standing.unverified else "reused"
        print(f"{request.store(root).shown(folder)} ({state})")
    return _status(result)


def evaluate(request: EvaluateRequest, root: Path) -> int:
    """Evaluate one model and print its accuracies, and what was assumed about it; the exit status."""
    identities = _identities(root)
    policy = Policy(use_cached_evaluations=request.use_cached)
    (check,) = check_evaluation(request.job(root), None, policy, identities)
    result = _run(check, request, root, identities.hashes, not request.use_cached)
    store = request.store(root)
    rows: list[str] = []
    assumptions: list[str] = []
    for target, path in check.job.outputs.items():
        if check.outputs[target].run and path not in result.done:
            continue  # what is there, if anything, is not what was asked for
        evaluation, _ = read_evaluation(path)
        assumptions += evaluation.assumptions or []
        pairs = len(evaluation.eval_probabilities or []) or ""
        name = target.replace("|", "\\|")
        rows.append(f"| {name} | {evaluation.eval_accuracy:.3f} | {pairs} | {store.shown(path)} |")
    if rows:
        print("\n".join(["| distribution | accuracy | pairs | evaluation |", "|---|---:|---:|---|", *rows]))
    for assumption in dict.fromkeys(assumptions):
        print(f"assumed: {assumption}")
    return _status(result)


def _identities(root: Path) -> Identities:
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    return Identities(hashes, root, this_machine(hidden=all_hidden(os.environ)))


def _run(check: Check, request: Places, root: Path, hashes: FileHashes, fresh: bool) -> Result:
    store = request.store(root)
    check_inputs([check], store)
    if not check.run:
        return Result(check.job.title)
    check_locks([check], store)
    try:
        with termination_as_interrupt():
            settings = replace(request.settings(root), fresh=fresh)
            return carry_out(Order(check.reduced(), settings), Place(hashes))
    finally:
        hashes.save()


def _status(result: Result) -> int:
    if result.failure is None:
        return 0
    print(f"error: {result.failure}", file=sys.stderr)
    return BAD_INPUT if result.bad_input else 1
