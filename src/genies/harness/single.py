"""One step by itself, under the same care as in the main job: train one model, or evaluate one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from genies.cache import cache_dir
from genies.contract import read_evaluation
from genies.errors import BAD_INPUT
from genies.file_hashes import FileHashes
from genies.harness.attempts import Order, carry_out
from genies.harness.decide import (
    Decision,
    EvaluationDecision,
    Policy,
    check_inputs,
    decide_evaluation,
    decide_training,
)
from genies.harness.fingerprint import Identities
from genies.harness.hardware import Hardware, all_hidden, this_machine
from genies.harness.job import termination_as_interrupt
from genies.harness.request import EvaluateRequest, Places, TrainRequest
from genies.harness.results import check_locks
from genies.harness.step import Place, Result, Run


def train(request: TrainRequest, root: Path) -> int:
    """Train one model, unless the same one is there; the exit status."""
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    decision = decide_training(request.step(root), request.retrain, Identities(hashes, root, _hardware()))
    result = _run(decision, request, root, hashes, request.retrain)
    if result.failure is None:
        state = "trained" if decision.run else "reused, unverified" if decision.standing.unverified else "reused"
        print(f"{request.store(root).shown(decision.step.model_dir)} ({state})")
    return _status(result)


def evaluate(request: EvaluateRequest, root: Path) -> int:
    """Evaluate one model and print its accuracies, and what was assumed about it; the exit status."""
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    policy = Policy(use_cached_evaluations=request.use_cached)
    (decision,) = decide_evaluation(request.step(root), policy, Identities(hashes, root, _hardware()))
    assert isinstance(decision, EvaluationDecision)
    result = _run(decision, request, root, hashes, not request.use_cached)
    store = request.store(root)
    rows: list[str] = []
    assumptions: list[str] = []
    for each in decision.targets:
        path = each.target.evaluation_file
        if each.run and path not in result.done:
            continue  # what lies there, if anything, is not what was asked for
        evaluation, _ = read_evaluation(path)
        assumptions += evaluation.assumptions or []
        pairs = len(evaluation.eval_probabilities or []) or ""
        name = each.target.distribution_dir.name.replace("|", "\\|")
        rows.append(f"| {name} | {evaluation.eval_accuracy:.3f} | {pairs} | {store.shown(path)} |")
    if rows:
        print("\n".join(["| distribution | accuracy | pairs | evaluation |", "|---|---:|---:|---|", *rows]))
    for assumption in dict.fromkeys(assumptions):
        print(f"assumed: {assumption}")
    return _status(result)


def _hardware() -> Hardware:
    return this_machine(hidden=all_hidden(os.environ))


def _run(decision: Decision, request: Places, root: Path, hashes: FileHashes, fresh: bool) -> Result:
    store = request.store(root)
    check_inputs([decision], store)
    if not decision.run:
        return Result(decision.step.title)
    check_locks([decision], store)
    try:
        with termination_as_interrupt():
            run = Run(
                store,
                request.timeout,
                request.verbose,
                fresh,
                processes=request.processes_per_step,
                protect=request.protect,
            )
            return carry_out(Order(decision, run), Place(hashes))
    finally:
        hashes.save()


def _status(result: Result) -> int:
    if result.failure is None:
        return 0
    print(f"error: {result.failure}", file=sys.stderr)
    return BAD_INPUT if result.bad_input else 1
