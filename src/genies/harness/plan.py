"""From a request to the steps it needs: deduplicated, in dependency order, and the same every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.harness.store import Store
from genies.names import check_distinct

Kwargs = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """One intervention tuned on one source."""

    intervention_dir: Path
    base_model_dir: Path
    source_dir: Path
    kwargs: Kwargs
    model_name: str
    """Name of the tuned model's folder: <base model>-<source>."""
    model_dir: Path
    """Where the tuned model lies when the step is done."""

    @property
    def intervention(self) -> str:
        return self.intervention_dir.name

    @property
    def title(self) -> str:
        return f"train {self.intervention}, {self.model_name}"


@dataclass(frozen=True)
class Target:
    """One distribution of an evaluation step and the file that holds its evaluation."""

    distribution_dir: Path
    evaluation_file: Path
    optional: bool = False
    """Whether the table is complete without it: it is evaluated only beside others that must run."""


@dataclass(frozen=True, eq=False)
class EvaluationStep:
    """One tuned model, or the untuned base model, evaluated on distributions in one process."""

    intervention_dir: Path
    model_name: str
    model_dir: Path
    training: TrainingStep | None
    """The step that makes the model; None for a model that is already there."""
    kwargs: Kwargs
    targets: list[Target] = field(default_factory=list)

    @property
    def intervention(self) -> str:
        return self.intervention_dir.name

    @property
    def title(self) -> str:
        names = [target.distribution_dir.name for target in self.targets]
        shown = names[0] if len(names) == 1 else f"{len(names)} distributions"
        return f"evaluate {self.intervention}, {self.model_name}, on {shown}"


Step = TrainingStep | EvaluationStep


@dataclass(frozen=True)
class Row:
    """One line of a table: a shift and the evaluation files its figures come from."""

    model: str
    intervention: str
    seed: int | None
    """The seed passed to train.py and eval.py; None when the request names no seeds."""
    shift: Shift
    generalization: Path
    source_id: Path
    baseline: Path
    capability: Mapping[str, Path]
    """On target_reference, by the name of the reference intervention; with several, the best one counts."""
    baseline_source: Path
    """The baseline on the source: optional."""
    baseline_reference: Path
    """The baseline on the target_reference: optional."""

    @property
    def files(self) -> set[Path]:
        """Every evaluation file that the line is about."""
        single = {self.generalization, self.source_id, self.baseline, self.baseline_source, self.baseline_reference}
        return single | {*self.capability.values()}


@dataclass(frozen=True)
class Plan:
    """Steps in dependency order (a model's training before its evaluation) and rows in request order."""

    steps: list[Step]
    rows: list[Row]
    baseline_intervention: str
    capability_intervention: str
    """The reference intervention, or BEST for the best of several."""

    def distribution_folders(self) -> dict[str, Path]:
        """The folder of every distribution that a step reads, by name."""
        folders: dict[str, Path] = {}
        for step in self.steps:
            read = [step.source_dir] if isinstance(step, TrainingStep) else [t.distribution_dir for t in step.targets]
            folders |= {folder.name: folder for folder in read}
        return folders


@dataclass(frozen=True)
class Study:
    """What is compared: every base model with every intervention and every seed, on the same shifts."""

    base_model_dirs: Sequence[Path]
    intervention_dirs: Sequence[Path]
    baseline_dir: Path
    capability_dirs: Sequence[Path]
    """The reference interventions; with several, the best of them on a target_reference is the reference there."""
    train_kwargs: Kwargs
    eval_kwargs: Kwargs
    capability_train_kwargs: Kwargs
    seeds: Sequence[int | None] = (None,)
    capability_seeded: bool = False
    """Whether the reference is tuned with every seed too, instead of once for all."""


def make_plan(shifts: Sequence[Shift], folders: Mapping[str, Path], study: Study, store: Store) -> Plan:
    """The plan for the tables of `shifts`; `folders` maps every distribution name in them to its folder.

    Raises InputError when two different folders of one name would write to the same place.
    """
    check_names(study.base_model_dirs)
    check_names([*study.intervention_dirs, *study.capability_dirs, study.baseline_dir])
    building = _Building(folders, study.eval_kwargs, store)
    rows = []
    for base_model in study.base_model_dirs:
        for intervention in study.intervention_dirs:
            for seed in study.seeds:
                for shift in shifts:
                    baseline = building.untuned(base_model, study.baseline_dir, shift.target)
                    source_id, generalization = (
                        building.tuned(base_model, intervention, shift.source, study.train_kwargs, seed, target)
                        for target in (shift.source, shift.target)
                    )
                    capability = {
                        reference.name: building.tuned(
                            base_model,
                            reference,
                            shift.target_reference,
                            study.capability_train_kwargs,
                            seed if study.capability_seeded else None,
                            shift.target_reference,
                            _reference_suffix(study, reference),
                        )
                        for reference in study.capability_dirs
                    }
                    optional = (
                        store.evaluation_file(study.baseline_dir.name, base_model.name, name)
                        for name in (shift.source, shift.target_reference)
                    )
                    measured = (generalization, source_id, baseline)
                    rows.append(Row(base_model.name, intervention.name, seed, shift, *measured, capability, *optional))
    for base_model in study.base_model_dirs:  # after all others: what a row needs is no longer optional
        for shift in shifts:
            for name in (shift.source, shift.target_reference):
                building.untuned(base_model, study.baseline_dir, name, optional=True)
    reference_name = BEST if len(study.capability_dirs) > 1 else study.capability_dirs[0].name
    return Plan(building.steps, rows, study.baseline_dir.name, reference_name)


def _reference_suffix(study: Study, reference: Path) -> str:
    """One intervention with two sets of arguments gives two models for one source: the reference gets its own name."""
    shared = reference in study.intervention_dirs
    return TARGET_TUNED if shared and study.capability_train_kwargs != study.train_kwargs else ""


BEST = "best"
"""As a reference intervention: the one of the study that is most accurate where it is tuned on the target_reference."""


TARGET_TUNED = "-target_tuned"
"""Ends the name of a reference model that is tuned with other arguments than the intervention of the same name."""


def tuned_model_name(base_model: str, source: str, seed: int | None = None, suffix: str = "") -> str:
    """The name of a tuned model's folder, and of the folder of its evaluations.

    >>> tuned_model_name("pythia-410m", "math", 1, TARGET_TUNED)
    'pythia-410m-math-target_tuned-seed1'
    """
    return f"{base_model}-{source}{suffix}" + ("" if seed is None else f"-seed{seed}")


def check_names(folders: Sequence[Path]) -> None:
    """InputError for two different folders of one name, which would write to the same place."""
    check_distinct([folder.name for folder in folders], "the folders")
    by_name: dict[str, Path] = {}
    for folder in folders:
        if by_name.setdefault(folder.name, folder) != folder:
            raise InputError(
                f"{by_name[folder.name]} and {folder} are two folders of one name, and the name says "
                "where models and evaluations lie; rename one of them"
            )


def _two_of_one_name(intervention_dir: Path, name: str) -> InputError:
    return InputError(
        f"{intervention_dir.name}/{name} would name two different results of this request; "
        "rename a base model or a distribution"
    )


class _Building:
    """A plan that grows: each model and each evaluation file once, in the order of first need."""

    def __init__(self, folders: Mapping[str, Path], eval_kwargs: Kwargs, store: Store) -> None:
        self.steps: list[Step] = []
        self._evaluations: dict[tuple[str, str], EvaluationStep] = {}
        self._placed: set[Path] = set()
        self._folders = folders
        self._eval_kwargs = eval_kwargs
        self._store = store

    def untuned(self, base_model: Path, intervention_dir: Path, target: str, optional: bool = False) -> Path:
        step = self._evaluations.get((intervention_dir.name, base_model.name))
        if step is None:
            step = EvaluationStep(intervention_dir, base_model.name, base_model, None, self._eval_kwargs)
            self._add(step)
        elif step.training is not None:
            raise _two_of_one_name(intervention_dir, base_model.name)
        return self._target(step, target, optional)

    def tuned(
        self,
        base_model: Path,
        intervention_dir: Path,
        source: str,
        kwargs: Kwargs,
        seed: int | None,
        target: str,
        suffix: str = "",
    ) -> Path:
        name = tuned_model_name(base_model.name, source, seed, suffix)
        extra = {} if seed is None else {"seed": seed}
        step = self._evaluations.get((intervention_dir.name, name))
        if step is None:
            model_dir = self._store.model_dir(intervention_dir.name, name)
            training = TrainingStep(
                intervention_dir, base_model, self._folders[source], {**kwargs, **extra}, name, model_dir
            )
            self.steps.append(training)
            step = EvaluationStep(intervention_dir, name, model_dir, training, {**self._eval_kwargs, **extra})
            self._add(step)
        else:
            made = step.training
            meant = (base_model, self._folders[source], {**kwargs, **extra})
            if made is None or (made.base_model_dir, made.source_dir, made.kwargs) != meant:
                raise _two_of_one_name(intervention_dir, name)
        return self._target(step, target)

    def _add(self, step: EvaluationStep) -> None:
        self._evaluations[step.intervention, step.model_name] = step
        self.steps.append(step)

    def _target(self, step: EvaluationStep, target: str, optional: bool = False) -> Path:
        path = self._store.evaluation_file(step.intervention, step.model_name, target)
        if path not in self._placed:
            self._placed.add(path)
            step.targets.append(Target(self._folders[target], path, optional))
        return path
