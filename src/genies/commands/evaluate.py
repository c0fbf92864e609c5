"""Evaluate one tuned model, or an untuned one, on distributions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from genies import markdown
from genies.commands.single import exit_status, identities_of_machine, own_variant, run_single
from genies.errors import InputError
from genies.evaluation_file import read_evaluation
from genies.folders import distribution_folder, named_folder
from genies.harness.decide import Policy, check_evaluation
from genies.harness.job import Identity, Job
from genies.harness.places import Kwargs, Places
from genies.harness.plan import evaluation_job
from genies.harness.store import identity_in, training_record
from genies.names import check_distinct


class EvaluateRequest(Places):
    """Evaluate one tuned or untuned model on distributions: a single evaluation job of the harness.

    Example:
      python api/evaluate.py --model_dir models/mms/SmolLM2-135M-Instruct-alpaca_mmlu
        --intervention_dir src/interventions/mms --distributions '["alpaca_mmlu", "truthful_qa"]'
    """

    aliases: ClassVar[dict[str, str]] = {"use_cached": "use_cached_evaluations"}

    model_dir: Path
    """Folder of the tuned or untuned model."""
    intervention_dir: Path
    """Folder of the intervention, whose eval.py is run."""
    distributions: list[str]
    """Folders or names of distributions."""
    eval_kwargs: Kwargs
    """Arguments for eval.py, as '{"max_examples": 60}'."""
    use_cached_evaluations: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""

    def job(self, root: Path) -> Job:
        store = self.store(root)
        model_dir = named_folder(self.model_dir, "model_dir")
        made = own_variant(self.intervention_dir, root, eval_kwargs=self.eval_kwargs)
        job = evaluation_job(made, model_dir, None, model_dir)
        job = replace(job, identity=identity_of_model(job.identity, model_dir))
        for name, target in named_targets(self.distributions, self, root).items():
            job = job.with_target(name, target, store.evaluation_file(made.name, model_dir.name, name))
        return job


def named_targets(given: Sequence[str], places: Places, root: Path) -> dict[str, Path]:
    """The folders of the distributions in --distributions, by name; InputError unless their names differ."""
    folders = places.distributions_folder(root)
    found: dict[str, Path] = {}
    for each in given:
        target = distribution_folder(each, folders, places.spare_distributions)
        if found.setdefault(target.name, target) != target:
            raise InputError(
                f"{found[target.name]} and {target} are two folders with the same name, and results are stored by "
                "name; rename one of them"
            )
    if not found:
        raise InputError("--distributions is empty; expected at least one distribution")
    check_distinct(found, "the distributions")
    return found


def identity_of_model(own: Identity, model_dir: Path) -> Identity:
    """The identity of an evaluation, with what the training record of its model says of the training."""
    trained = identity_in(training_record(model_dir) or {})
    if trained is None:
        return own
    return replace(trained, role=own.role, variant=own.variant)


def _note_other_intervention(request: EvaluateRequest, job: Job) -> None:
    """Say on standard error that the model was tuned by another intervention. This is no error: the eval.py of
    lora_fine_tune can evaluate the adapters of others."""
    trained = identity_in(training_record(job.model_dir) or {})
    if trained is not None and trained.variant != job.variant:
        print(
            f"note: {request.model_dir} was tuned by {trained.variant}; this evaluation by {job.variant} is stored as "
            f"a result of {job.variant}",
            file=sys.stderr,
        )


def main(request: EvaluateRequest, root: Path) -> int:
    """Evaluate one model, print its accuracies and the assumptions about it, and return the exit status."""
    identities = identities_of_machine(root)
    policy = Policy(use_cached_evaluations=request.use_cached_evaluations)
    (check,) = check_evaluation(request.job(root), None, policy, identities)
    _note_other_intervention(request, check.job)
    result = run_single(check, request, root, identities.hashes, not request.use_cached_evaluations)
    store = request.store(root)
    rows: list[list[str]] = []
    assumptions: list[str] = []
    for target, path in check.job.outputs.items():
        if check.outputs[target].run and path not in result.done:
            continue  # an existing file was not made from the requested inputs
        evaluation, _ = read_evaluation(path)
        assumptions += evaluation.assumptions or []
        pairs = str(len(evaluation.eval_probabilities or []) or "")
        cells = [target, f"{evaluation.eval_accuracy:.3f}", pairs, store.shown(path)]
        rows.append([markdown.escaped(cell) for cell in cells])
    if rows:
        header = ["distribution", "accuracy", "pairs", "evaluation"]
        print("\n".join(markdown.table(header, rows, numbers=[1, 2])))
    for assumption in dict.fromkeys(assumptions):
        print(f"assumed: {assumption}")
    return exit_status(result)
