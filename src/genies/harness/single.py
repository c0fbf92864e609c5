"""A single job, run as in the main job: train one model, or evaluate one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from genies.cache import cache_dir
from genies.contract import read_evaluation
from genies.errors import BAD_INPUT, InputError
from genies.file_hashes import FileHashes
from genies.harness.decide import Check, Policy, check_evaluation, check_training
from genies.harness.execute import carry_out
from genies.harness.fingerprint import Identities
from genies.harness.folders import distribution_folder, intervention_folder, named_folder
from genies.harness.hardware import all_hidden, this_machine
from genies.harness.inputs import check_inputs, check_locks
from genies.harness.job import Identity, Job
from genies.harness.main_job import termination_as_interrupt
from genies.harness.order import Order, Place, Result
from genies.harness.plan import evaluation_job, training_job, tuned_model_name
from genies.harness.request import Kwargs, Places
from genies.harness.store import identity_in, training_record
from genies.harness.study import variant
from genies.names import check_distinct


class TrainRequest(Places):
    """Train one intervention on one source: a single training job of the harness.

    Example:
      python api/train.py --model_dir models/SmolLM2-135M-Instruct --intervention_dir src/interventions/mms
        --train_distribution alpaca_mmlu
    """

    model_dir: Path
    """Folder of the untuned base model."""
    intervention_dir: Path
    """Folder of the intervention, whose train.py is run."""
    train_distribution: str
    """The source: a folder or the name of a distribution."""
    train_kwargs: Kwargs
    """Arguments for train.py, as '{"seed": 1, "max_examples": 60}'."""
    retrain: bool = False
    """Train again even if the same model exists."""

    def job(self, root: Path) -> Job:
        base_model = named_folder(self.model_dir, "model_dir")
        folder = intervention_folder(self.intervention_dir, root, "intervention_dir")
        source = distribution_folder(self.train_distribution, self.distributions_folder(root), self.spare_distributions)
        made = variant(folder.name, folder, self.train_kwargs, {}, _OWN_NAMES)
        refuse(made.fault(seeded=False))
        model_dir = self.store(root).model_dir(made.name, tuned_model_name(base_model.name, source.name))
        return training_job(made, base_model, source.name, source, model_dir)


class EvaluateRequest(Places):
    """Evaluate one tuned or untuned model on distributions: a single evaluation job of the harness.

    Example:
      python api/evaluate.py --model_dir models/mms/SmolLM2-135M-Instruct-alpaca_mmlu
        --intervention_dir src/interventions/mms --distributions '["alpaca_mmlu", "truthful_qa"]'
    """

    model_dir: Path
    """Folder of the tuned or untuned model."""
    intervention_dir: Path
    """Folder of the intervention, whose eval.py is run."""
    distributions: list[str]
    """Folders or names of distributions."""
    eval_kwargs: Kwargs
    """Arguments for eval.py, as '{"max_examples": 60}'."""
    use_cached: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""

    def job(self, root: Path) -> Job:
        store = self.store(root)
        model_dir = named_folder(self.model_dir, "model_dir")
        folder = intervention_folder(self.intervention_dir, root, "intervention_dir")
        made = variant(folder.name, folder, {}, self.eval_kwargs, _OWN_NAMES)
        refuse(made.fault(seeded=False))
        job = evaluation_job(made, model_dir, None, model_dir)
        job = replace(job, identity=identity_of_model(job.identity, model_dir))
        for each in self.distributions:
            target = distribution_folder(each, self.distributions_folder(root), self.spare_distributions)
            if job.distributions.get(target.name, target) != target:
                raise InputError(
                    f"{job.distributions[target.name]} and {target} are two folders with the same name, and results "
                    "are stored by name; rename one of them"
                )
            job = job.with_target(target.name, target, store.evaluation_file(made.name, model_dir.name, target.name))
        if not job.distributions:
            raise InputError("--distributions is empty; expected at least one distribution")
        check_distinct(job.distributions, "the distributions")
        return job


_OWN_NAMES = {"name": "intervention_dir", "train_kwargs": "train_kwargs", "eval_kwargs": "eval_kwargs"}


def refuse(fault: str | None) -> None:
    if fault is not None:
        raise InputError(fault)


def identity_of_model(own: Identity, model_dir: Path) -> Identity:
    """The identity of an evaluation, with base model, source and seed from the training record of its model."""
    trained = identity_in(training_record(model_dir) or {})
    if trained is None:
        return own
    return replace(own, base_model=trained.base_model, source=trained.source, seed=trained.seed)


def train(request: TrainRequest, root: Path) -> int:
    """Train one model, unless it exists, and return the exit status."""
    identities = _identities(root)
    check = check_training(request.job(root), request.retrain, identities)
    result = _run(check, request, root, identities.hashes, request.retrain)
    if result.failure is None:
        (folder,), (output,) = check.job.outputs.values(), check.outputs.values()
        state = "trained" if check.run else "reused, unverified" if output.standing.unverified else "reused"
        print(f"{request.store(root).shown(folder)} ({state})")
    return _status(result)


def evaluate(request: EvaluateRequest, root: Path) -> int:
    """Evaluate one model, print its accuracies and the assumptions about it, and return the exit status."""
    identities = _identities(root)
    policy = Policy(use_cached_evaluations=request.use_cached)
    (check,) = check_evaluation(request.job(root), None, policy, identities)
    result = _run(check, request, root, identities.hashes, not request.use_cached)
    store = request.store(root)
    rows: list[str] = []
    assumptions: list[str] = []
    for target, path in check.job.outputs.items():
        if check.outputs[target].run and path not in result.done:
            continue  # an existing file was not made from the requested inputs
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
