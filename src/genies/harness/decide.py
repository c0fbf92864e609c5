"""Which steps of a plan must run, which results are reused, and why."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from genies.contract import Evaluation
from genies.data.distribution import Distribution
from genies.data.shifts import resolve
from genies.errors import InputError
from genies.harness.fingerprint import Identities, Parts, unknown_parts
from genies.harness.plan import EvaluationStep, Plan, Target, TrainingStep
from genies.harness.store import (
    Standing,
    Store,
    evaluation_standing,
    model_standing,
    training_record,
)


@dataclass(frozen=True)
class Policy:
    """What the user allows to be reused."""

    retrain_models: bool = False
    use_cached_evaluations: bool = True


@dataclass(frozen=True)
class TrainingDecision:
    step: TrainingStep
    parts: Parts
    standing: Standing
    run: bool
    why: str
    """Why it runs, or why it need not."""


@dataclass(frozen=True)
class TargetDecision:
    target: Target
    parts: Parts
    standing: Standing
    run: bool
    why: str
    evaluation: Annotated[Evaluation | None, Field(exclude=True)] = None
    """What is reused; it does not cross to where a step runs."""


@dataclass(frozen=True)
class EvaluationDecision:
    step: EvaluationStep
    targets: list[TargetDecision]

    @property
    def run(self) -> bool:
        return any(target.run for target in self.targets)

    @property
    def base_model_dir(self) -> Path:
        """The folder of the untuned model."""
        return self.step.model_dir if self.step.training is None else self.step.training.base_model_dir

    def unchecked_base_model(self, target: TargetDecision) -> bool:
        """Whether an evaluation is reused unverified since the base model is not there to be compared."""
        part = "model.files" if self.step.training is None else "model.base_model"
        return target.standing.state == "unchecked" and part in unknown_parts(target.parts)


Decision = TrainingDecision | EvaluationDecision


def decide(plan: Plan, policy: Policy, identities: Identities) -> list[Decision]:
    """A decision for every step, in plan order. Reads files, writes nothing, starts nothing."""
    decisions: list[Decision] = []
    for step in plan.steps:
        if isinstance(step, EvaluationStep):  # its training, if any, stands right before it
            decisions += decide_evaluation(step, policy, identities)
    return _without_needless(decisions)


def _without_needless(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions without optional evaluations that are not there and cannot be made beside others that must run.

    A study that is complete without them is not opened again for them.
    """
    required = [each for each in decisions if isinstance(each, TrainingDecision) or _runs_required(each)]
    busy = {_base_model_dir(each) for each in required if each.run}

    def kept(decision: EvaluationDecision, each: TargetDecision) -> bool:
        possible = decision.base_model_dir in busy and decision.base_model_dir.is_dir()
        return not (each.run and each.target.optional) or (
            possible and (each.target.distribution_dir / "test.json").is_file()
        )

    return [
        each
        if isinstance(each, TrainingDecision)
        else replace(each, targets=[target for target in each.targets if kept(each, target)])
        for each in decisions
    ]


def _runs_required(decision: EvaluationDecision) -> bool:
    return any(each.run and not each.target.optional for each in decision.targets)


def _base_model_dir(decision: Decision) -> Path:
    return decision.step.base_model_dir if isinstance(decision, TrainingDecision) else decision.base_model_dir


def decide_evaluation(step: EvaluationStep, policy: Policy, identities: Identities) -> list[Decision]:
    """Decisions for an evaluation step and, before it, for the training step that makes its model."""
    if step.training is None:
        model = _model_as_it_lies(step.model_dir, identities)
        return [EvaluationDecision(step, _targets(step, model, None, policy, identities))]

    training = step.training
    parts = identities.training_parts(
        training.intervention_dir, training.base_model_dir, training.source_dir, training.kwargs
    )
    standing = model_standing(step.model_dir, parts, identities.hashes)
    content = identities.model(step.model_dir) if standing.usable else None
    if standing.state == "foreign":
        targets = _targets(step, {"files": content}, None, policy, identities)
    else:
        targets = _targets(step, parts, content, policy, identities)

    needed = any(target.run for target in targets)
    if policy.retrain_models:
        run, why = True, "retraining was asked for"
    elif standing.usable:
        run, why = False, standing.reason
    else:
        run, why = needed, standing.reason or ("not trained yet" if needed else "its evaluations are all there")
    if run:
        # A model trained anew is evaluated anew, all of it: no table mixes two trainings.
        targets = [_replace_model(step, target, parts, identities) for target in targets]
    return [TrainingDecision(training, parts, standing, run, why), EvaluationDecision(step, targets)]


def decide_training(step: TrainingStep, retrain: bool, identities: Identities) -> TrainingDecision:
    """The decision for a training step asked for by itself."""
    parts = identities.training_parts(step.intervention_dir, step.base_model_dir, step.source_dir, step.kwargs)
    standing = model_standing(step.model_dir, parts, identities.hashes)
    why = "retraining was asked for" if retrain else standing.reason or "not trained yet"
    return TrainingDecision(step, parts, standing, retrain or not standing.usable, why)


def _model_as_it_lies(model_dir: Path, identities: Identities) -> Parts:
    """What an evaluation of a folder depends on: the training it records, else its files."""
    content = identities.model(model_dir)
    record = training_record(model_dir)
    if record is not None and record.get("content") == content and isinstance(record.get("parts"), dict):
        return dict(record["parts"])
    return {"files": content}


def _targets(
    step: EvaluationStep, model: Parts, content: str | None, policy: Policy, identities: Identities
) -> list[TargetDecision]:
    decisions = []
    for target in step.targets:
        parts = identities.evaluation_parts(
            step.intervention_dir, step.model_dir, model, target.distribution_dir, step.kwargs
        )
        standing, evaluation = evaluation_standing(target.evaluation_file, parts, content)
        if not policy.use_cached_evaluations:
            run, why = True, "cached evaluations are not to be used"
        else:
            run, why = not standing.usable, standing.reason or ("not evaluated yet" if not standing.usable else "")
        decisions.append(TargetDecision(target, parts, standing, run, why, None if run else evaluation))
    return decisions


def _replace_model(
    step: EvaluationStep, decision: TargetDecision, model: Parts, identities: Identities
) -> TargetDecision:
    parts = identities.evaluation_parts(
        step.intervention_dir, step.model_dir, model, decision.target.distribution_dir, step.kwargs
    )
    why = decision.why if decision.run and decision.why else "the model is trained anew"
    return TargetDecision(decision.target, parts, decision.standing, True, why)


def check_inputs(
    decisions: Sequence[Decision],
    store: Store,
    named_by: Callable[[str], str] = lambda _: "",
    model_argument: str = "model_dir",
    argument_of: Callable[[str], str] = lambda _: "intervention_dir",
) -> None:
    """Look at everything the steps that will run are given, before the first of them starts.

    named_by: where the request names a distribution, for messages.
    model_argument: the argument that names the models which no step makes.
    argument_of: the argument that names an intervention.
    Raises InputError for an intervention without the script, for a model that is absent and that no step makes, and
    for a distribution that is absent or malformed. What is reused may lack its model.
    """
    scripts: set[Path] = set()
    models: set[Path] = set()
    splits: set[tuple[Path, str]] = set()
    for decision in decisions:
        if not decision.run:
            continue
        if isinstance(decision, TrainingDecision):
            scripts.add(decision.step.intervention_dir / "train.py")
            models.add(decision.step.base_model_dir)
            splits.add((decision.step.source_dir, "train"))
        else:
            scripts.add(decision.step.intervention_dir / "eval.py")
            if decision.step.training is None:
                models.add(decision.step.model_dir)
            splits |= {(each.target.distribution_dir, "test") for each in decision.targets if each.run}
    for script in sorted(scripts):
        check_script(script, store, argument_of(script.parent.name))
    for folder in sorted(models):
        check_model(folder, store, model_argument)
    for folder, split in sorted(splits):
        if not folder.is_dir():
            resolve(folder.name, folder.parent, named_by(folder.name))  # says which names are near
        Distribution(folder).split("train" if split == "train" else "test")


def check_model(folder: Path, store: Store, argument: str) -> None:
    """InputError unless a model's folder is there; it offers the same name in models/, else the nearest ones."""
    if folder.is_dir():
        return
    meant = store.models_dir / folder.name
    if meant.is_dir():
        hint = f"did you mean {store.shown(meant)}?"
    else:
        beside = {path for parent in (folder.parent, store.models_dir) for path in parent.glob("[!.]*/")}
        near = difflib.get_close_matches(folder.name, {path.name for path in beside})
        found = ", ".join(store.shown(path) for name in near for path in sorted(beside) if path.name == name)
        hint = f"nearest names: {found}" if found else "check the spelling, or fetch a base model"
    raise InputError(
        f"--{argument}: model folder {store.shown(folder)} does not exist; {hint} "
        "(download_model_from_hf.py fetches base models, api/train.py makes tuned ones)"
    )


def check_script(script: Path, store: Store, argument: str = "intervention_dir") -> None:
    """InputError unless the intervention's folder and the script in it are there; it offers the nearest names."""
    folder = script.parent
    if not folder.is_dir():
        own = store.root / "src" / "interventions"
        known = {path.parent.name: path.parent for place in (own, folder.parent) for path in place.glob("*/eval.py")}
        near = difflib.get_close_matches(folder.name, known)
        found = ", ".join(store.shown(known[name]) for name in near or sorted(known))
        hint = f"; {'nearest names' if near else 'there are'}: {found}" if found else ""
        raise InputError(f"--{argument}: intervention folder {store.shown(folder)} does not exist{hint}")
    if not script.is_file():
        raise InputError(
            f"--{argument}: intervention {store.shown(folder)} has no {script.name}; "
            "an intervention is a folder with train.py and eval.py"
        )
