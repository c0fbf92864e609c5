"""The jobs that a request needs: each once, in dependency order, always in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from genies.data.shifts import Shift
from genies.declaration import Role
from genies.errors import InputError
from genies.harness.job import Identity, Job, Kwargs
from genies.harness.store import Store
from genies.harness.study import BEST, Study, Variant, check_names


@dataclass(frozen=True)
class Row:
    """One row of a table: a shift and the evaluation files its values come from."""

    model: str
    intervention: str
    seed: int | None
    """The seed passed to train.py and eval.py; None when the request names no seeds."""
    shift: Shift
    generalization: Path
    source_id: Path | None = None
    """None, like the following, for a shift without a source."""
    baseline: Path | None = None
    capability: Mapping[str, Path] = field(default_factory=dict)
    """On target_reference, by the name of the reference intervention; of several, the best one is used."""
    baseline_source: Path | None = None
    """The baseline on the source; optional."""
    baseline_reference: Path | None = None
    """The baseline on the target_reference; optional."""

    @property
    def files(self) -> set[Path]:
        """Every evaluation file of the row."""
        single = (self.generalization, self.source_id, self.baseline, self.baseline_source, self.baseline_reference)
        return {path for path in (*single, *self.capability.values()) if path is not None}


@dataclass(frozen=True)
class Plan:
    """Jobs in dependency order (a model's training before its evaluation) and rows in request order."""

    jobs: list[Job]
    rows: list[Row]
    baseline_intervention: str
    capability_intervention: str
    """The reference intervention, or BEST for the best of several."""

    faults: dict[str, str] = field(default_factory=dict)
    """The faults of variants that the plan leaves out, by name."""
    notes: Sequence[str] = ()

    def distribution_folders(self) -> dict[str, Path]:
        """The folder of every distribution that a job reads, by name."""
        return {name: folder for job in self.jobs for name, folder in job.distributions.items()}


def make_plan(shifts: Sequence[Shift], folders: Mapping[str, Path], study: Study, store: Store) -> Plan:
    """The plan for the tables of `shifts`; `folders` maps every distribution name in them to its folder.

    Raises InputError if two different results would have the same path.
    """
    study, faults = study.checked()
    check_names(study.base_model_dirs, [*study.variants, *study.references, study.baseline])
    building = _Building(folders, store)
    rows = []
    for base_model in study.base_model_dirs:
        for variant in study.variants:
            for seed in study.seeds:
                for shift in shifts:
                    if not shift.source:
                        rows.append(_without_source(building, base_model, variant, seed, shift))
                        continue
                    baseline = building.untuned(base_model, study.baseline, shift.target)
                    source_id, generalization = (
                        building.tuned(base_model, variant, shift.source, seed, target, shift.target)
                        for target in (shift.source, shift.target)
                    )
                    on_reference, own_seed = shift.target_reference, seed if study.reference_seeded else None
                    capability = {
                        each.name: building.tuned(
                            base_model,
                            each,
                            on_reference,
                            own_seed,
                            on_reference,
                            meant_for=on_reference,
                            suffix=_reference_suffix(study, each),
                        )
                        for each in study.references
                    }
                    source, reference = (
                        building.evaluation_file(study.baseline.name, base_model.name, name)
                        for name in (shift.source, on_reference)
                    )
                    measured = (generalization, source_id, baseline)
                    row = Row(base_model.name, variant.name, seed, shift, *measured, capability, source, reference)
                    rows.append(row)
    for base_model in study.base_model_dirs:  # last, so that an evaluation that a row needs is not optional
        for shift in shifts:
            for name in (shift.source, shift.target_reference) if shift.source else ():
                building.untuned(base_model, study.baseline, name, optional=True)
    reference_name = BEST if len(study.references) > 1 else study.references[0].name
    return Plan(building.jobs(), rows, study.baseline.name, reference_name, faults, study.notes)


def _without_source(building: _Building, base_model: Path, variant: Variant, seed: int | None, shift: Shift) -> Row:
    """The row of a variant that tunes nothing, on a target alone."""
    if variant.tunes:
        raise InputError(
            f"the shift to {shift.target} has no source, but {variant.name} tunes a model on one; add a source, or "
            "choose an intervention that tunes nothing (reward_model, judge, zero_shot)"
        )
    return Row(base_model.name, variant.name, seed, shift, building.untuned(base_model, variant, shift.target))


def _reference_suffix(study: Study, reference: Variant) -> str:
    """The suffix that distinguishes the reference's model from that of a variant of the same name but other kwargs."""
    return TARGET_TUNED if any(each.name == reference.name and each != reference for each in study.variants) else ""


TARGET_TUNED = "-target_tuned"
"""Suffix of a reference model that is tuned with other arguments than the variant of the same name."""


def unlabelled_suffix(target: str) -> str:
    """Suffix of a model whose training read unlabelled texts of `target`."""
    return f"-unlabelled-{target}"


def tuned_model_name(base_model: str, source: str, seed: int | None = None, suffix: str = "") -> str:
    """The name of a tuned model's folder, and of the folder of its evaluations.

    >>> tuned_model_name("pythia-410m", "math", 1, TARGET_TUNED)
    'pythia-410m-math-target_tuned-seed1'
    """
    return f"{base_model}-{source}{suffix}" + ("" if seed is None else f"-seed{seed}")


def possible_model_names(base_model: str, shift: Shift, seed: int | None) -> list[str]:
    """The names that the model of a shift can have: tuned without or with unlabelled texts of the target."""
    if not shift.source:
        return [base_model]
    return [
        tuned_model_name(base_model, shift.source, seed, suffix) for suffix in ("", unlabelled_suffix(shift.target))
    ]


def training_job(
    variant: Variant,
    base_model: Path,
    source: str,
    source_dir: Path,
    model_dir: Path,
    seed: int | None = None,
    unlabelled: Path | None = None,
) -> Job:
    """Tune a variant on one source; a `seed` that is not None is passed to the script.

    unlabelled: the target whose texts training reads without labels.
    """
    return Job(
        Identity("train", variant.name, base_model.name, source, seed, None if unlabelled is None else unlabelled.name),
        variant.dir,
        base_model,
        base_model,
        {source: source_dir},
        {source: model_dir},
        _seeded(variant.train_kwargs, seed),
        unlabelled=unlabelled,
    )


def evaluation_job(
    variant: Variant,
    base_model: Path,
    source: str | None,
    model_dir: Path,
    seed: int | None = None,
    needs: str | None = None,
    unlabelled: str | None = None,
) -> Job:
    """Evaluate one model, the untuned one if `source` is None, on targets that are still to be added."""
    identity = Identity("evaluate", variant.name, base_model.name, source, seed, unlabelled)
    kwargs = _seeded(variant.eval_kwargs, seed)
    return Job(identity, variant.dir, model_dir, base_model, {}, {}, kwargs, needs, variant.tunes)


def _seeded(kwargs: Kwargs, seed: int | None) -> dict[str, object]:
    return {**kwargs} if seed is None else {**kwargs, "seed": seed}


_Place = tuple[Role, str, str]
"""Role, variant and name of the model's folder."""


class _Building:
    """A plan in construction: each model and each evaluation file once, in the order of first use."""

    def __init__(self, folders: Mapping[str, Path], store: Store) -> None:
        self._folders = folders
        self._model_dir = cache(store.model_dir)
        self.evaluation_file = cache(store.evaluation_file)
        self._jobs: dict[_Place, Job] = {}
        self._targets: dict[_Place, dict[str, bool]] = {}
        """Of each evaluation, whether a target is optional."""
        self._evaluations: dict[tuple[object, ...], _Place] = {}
        """By what determines the model; a variant by its id, because its arguments cannot be hashed. Plans have many
        rows of few models, and making a job takes longer than this."""

    def jobs(self) -> list[Job]:
        """All jobs, each evaluation with its targets."""
        return [self._with_targets(place, job) for place, job in self._jobs.items()]

    def _with_targets(self, place: _Place, job: Job) -> Job:
        role, variant, name = place
        if role == "train":
            return job
        targets = self._targets[place]
        return replace(
            job,
            distributions={target: self._folders[target] for target in targets},
            outputs={target: self.evaluation_file(variant, name, target) for target in targets},
            optional=frozenset(target for target, optional in targets.items() if optional),
        )

    def untuned(self, base_model: Path, variant: Variant, target: str, optional: bool = False) -> Path:
        """The evaluation file of the untuned model on a target."""
        key = (id(variant), base_model)
        if key not in self._evaluations:
            job = evaluation_job(variant, base_model, None, base_model)
            self._evaluations[key] = self._only_one(("evaluate", variant.name, base_model.name), job)
        return self._evaluated(self._evaluations[key], target, optional)

    def tuned(
        self,
        base_model: Path,
        variant: Variant,
        source: str,
        seed: int | None,
        target: str,
        meant_for: str,
        suffix: str = "",
    ) -> Path:
        """The evaluation file, on a target, of a model tuned on `source`.

        A variant that reads unlabelled texts reads those of `meant_for`.
        """
        if not variant.tunes:  # the untuned model, which does not depend on a seed
            return self.untuned(base_model, variant, target)
        seen = meant_for if variant.unlabelled else None
        key = (id(variant), base_model, source, seed, seen, suffix)
        if key not in self._evaluations:
            name = tuned_model_name(base_model.name, source, seed, suffix + (unlabelled_suffix(seen) if seen else ""))
            model_dir = self._model_dir(variant.name, name)
            texts = self._folders[seen] if seen else None
            training = training_job(variant, base_model, source, self._folders[source], model_dir, seed, texts)
            self._only_one(("train", variant.name, name), training)
            evaluation = evaluation_job(variant, base_model, source, model_dir, seed, training.key, seen)
            self._evaluations[key] = self._only_one(("evaluate", variant.name, name), evaluation)
        return self._evaluated(self._evaluations[key], target)

    def _evaluated(self, place: _Place, target: str, optional: bool = False) -> Path:
        self._targets[place].setdefault(target, optional)
        return self.evaluation_file(place[1], place[2], target)

    def _only_one(self, place: _Place, job: Job) -> _Place:
        """Add the job with these names if it is new; InputError if a different one has them."""
        known = self._jobs.setdefault(place, job)
        if (known.identity, known.base_model_dir, known.kwargs) != (job.identity, job.base_model_dir, job.kwargs):
            raise InputError(
                f"{place[1]}/{place[2]} would be the name of two different results of this request; "
                "rename a base model, a distribution or a variant"
            )
        self._targets.setdefault(place, {})
        return place
