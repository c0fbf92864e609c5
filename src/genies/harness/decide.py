"""Which jobs of a plan must run, which results are reused, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from genies.evaluation_file import Evaluation
from genies.harness.fingerprint import Identities, Parts, unknown_parts
from genies.harness.job import Job
from genies.harness.store import Standing, evaluation_standing, model_standing, training_record


@dataclass(frozen=True)
class Policy:
    """Which results the user allows to be reused."""

    retrain_models: bool = False
    use_cached_evaluations: bool = True


@dataclass(frozen=True)
class Output:
    """One result of a job: what determines it, what is stored, and whether it must be made."""

    parts: Parts
    standing: Standing
    run: bool
    why: str
    """Why it must be made or is reused."""
    evaluation: Annotated[Evaluation | None, Field(exclude=True)] = None
    """The stored evaluation if it is reused; not passed to launchers."""


@dataclass(frozen=True)
class Check:
    """A job and the decision about each of its outputs, by the name of the distribution."""

    job: Job
    outputs: dict[str, Output]

    @property
    def run(self) -> bool:
        return any(output.run for output in self.outputs.values())

    @property
    def wanted(self) -> dict[str, Output]:
        """The outputs that must be made."""
        return {name: output for name, output in self.outputs.items() if output.run}

    @property
    def parts(self) -> Parts:
        """The parts of its first output; those of the others differ only in the distribution."""
        return next(iter(self.outputs.values())).parts

    def reduced(self) -> Check:
        """The job for only the outputs that must be made, as launchers need it."""
        return Check(self.job.only(self.wanted), self.wanted)

    def without(self, done: Collection[Path]) -> Check:
        """The check after the outputs with these files were made."""
        made = {name for name, path in self.job.outputs.items() if path in done}
        return Check(
            self.job,
            {name: replace(each, run=each.run and name not in made) for name, each in self.outputs.items()},
        )


def decide(jobs: Sequence[Job], policy: Policy, identities: Identities) -> list[Check]:
    """A check of every job, in plan order; only reads files.

    The training of a model comes right before its evaluation.
    """
    trainings = {job.key: job for job in jobs if job.role == "train"}
    checks: list[Check] = []
    for job in jobs:
        if job.role == "evaluate":
            checks += check_evaluation(job, trainings.get(job.needs or ""), policy, identities)
    return list(_without_needless(checks))


def check_evaluation(job: Job, training: Job | None, policy: Policy, identities: Identities) -> list[Check]:
    """The check of an evaluation, after that of the training that makes its model, if there is one."""
    if training is None:
        return [Check(job, _evaluations(job, model_in_place(job, identities), None, policy, identities))]
    made = check_training(training, policy.retrain_models, identities)
    (output,) = made.outputs.values()
    content = identities.model(job.model_dir) if output.standing.usable else None
    foreign = output.standing.state == "foreign"
    model: tuple[Parts, str | None] = ({"files": content}, None) if foreign else (output.parts, content)
    outputs = _evaluations(job, *model, policy, identities)
    if output.run and not policy.retrain_models and not any(each.run for each in outputs.values()):
        made = _with_output(made, replace(output, run=False, why=output.standing.reason or "all its evaluations exist"))
    if made.run:
        # A retrained model is evaluated on all targets again, so that no table mixes two trainings.
        outputs = {
            name: Output(
                identities.parts(job, name, output.parts) if foreign else each.parts,
                each.standing,
                run=True,
                why=each.why if each.run else "the model is trained again",
            )
            for name, each in outputs.items()
        }
    return [made, Check(job, outputs)]


def check_training(job: Job, retrain: bool, identities: Identities) -> Check:
    """The check of a training."""
    (source,) = job.distributions
    parts = identities.parts(job, source)
    ignored = identities.ignored(job.intervention_dir, parts)
    standing = model_standing(job.outputs[source], parts, identities.hashes, ignored)
    run = retrain or not standing.usable
    why = "retraining was requested" if retrain else standing.reason or ("not trained yet" if run else "")
    return Check(job, {source: Output(parts, standing, run, why)})


def _with_output(check: Check, output: Output) -> Check:
    return Check(check.job, dict.fromkeys(check.outputs, output))


def model_in_place(job: Job, identities: Identities) -> Parts:
    """The part `model` of an evaluation of an existing model: its recorded training, or else its files."""
    content, record = identities.model(job.model_dir), training_record(job.model_dir)
    if record is not None and record.get("content") == content and isinstance(record.get("parts"), dict):
        return dict(record["parts"])
    return {"files": content}


def _evaluations(
    job: Job, model: Parts, content: str | None, policy: Policy, identities: Identities
) -> dict[str, Output]:
    outputs: dict[str, Output] = {}
    shared = identities.parts(job, next(iter(job.distributions)), model)
    ignored = identities.ignored(job.intervention_dir, shared)
    for name, folder in job.distributions.items():
        parts = {**shared, "distribution": identities.distribution(folder)}
        standing, evaluation = evaluation_standing(job.outputs[name], parts, content, ignored)
        run, why = not standing.usable, standing.reason or ("" if standing.usable else "not evaluated yet")
        if not policy.use_cached_evaluations:
            run, why = True, "cached evaluations are disabled"
        outputs[name] = Output(parts, standing, run, why, None if run else evaluation)
    return outputs


def _without_needless(checks: Sequence[Check]) -> Iterator[Check]:
    """The checks without missing optional evaluations, unless other evaluations of the base model must run.

    No job runs for optional evaluations alone.
    """
    busy = {
        check.job.base_model_dir
        for check in checks
        if any(output.run for name, output in check.outputs.items() if name not in check.job.optional)
    }
    for check in checks:
        job, base = check.job, check.job.base_model_dir
        possible = base in busy and base.is_dir()
        kept = {
            name: output
            for name, output in check.outputs.items()
            if not (output.run and name in job.optional)
            or (possible and (job.distributions[name] / "test.json").is_file())
        }
        yield Check(job.only(kept), kept)


def absent_base_model(check: Check, output: Output) -> bool:
    """Whether an evaluation is reused unverified because the base model is missing."""
    part = "model.files" if check.job.needs is None else "model.base_model"
    return check.job.role == "evaluate" and output.standing.state == "unchecked" and part in unknown_parts(output.parts)
