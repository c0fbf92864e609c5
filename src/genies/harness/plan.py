"""From a request to the steps it needs: deduplicated, in dependency order, and the same every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.harness.store import Store

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
        return f"train {self.intervention} on {self.source_dir.name}"


@dataclass(frozen=True)
class Target:
    """One distribution of an evaluation step and the file that holds its evaluation."""

    distribution_dir: Path
    evaluation_file: Path


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
    """One line of the table: a shift and the evaluation files its figures come from."""

    shift: Shift
    generalization: Path
    source_id: Path
    baseline: Path
    capability: Path


@dataclass(frozen=True)
class Plan:
    """Steps in dependency order (a model's training before its evaluation) and rows in request order."""

    steps: list[Step]
    rows: list[Row]
    baseline_intervention: str
    capability_intervention: str


@dataclass(frozen=True)
class Interventions:
    """Folders of the three interventions of a request, and the arguments for each kind of step."""

    intervention_dir: Path
    baseline_dir: Path
    capability_dir: Path
    train_kwargs: Kwargs
    eval_kwargs: Kwargs
    capability_train_kwargs: Kwargs


def make_plan(
    shifts: Sequence[Shift],
    folders: Mapping[str, Path],
    base_model_dir: Path,
    interventions: Interventions,
    store: Store,
) -> Plan:
    """The plan for a table of `shifts`; `folders` maps every distribution name in them to its folder.

    Raises InputError when two different folders would write to the same place.
    """
    building = _Building(folders, base_model_dir, store)
    chosen = interventions
    by_name: dict[str, Path] = {}
    for folder in (chosen.intervention_dir, chosen.capability_dir, chosen.baseline_dir):
        if by_name.setdefault(folder.name, folder) != folder:
            raise InputError(
                f"{by_name[folder.name]} and {folder} are two folders of one name, and the name says "
                "where models and evaluations lie; rename one of them"
            )
    same_name = chosen.intervention_dir == chosen.capability_dir
    # One intervention with two sets of arguments gives two models for one source: the reference gets its own name.
    capability_suffix = "-target_tuned" if same_name and chosen.capability_train_kwargs != chosen.train_kwargs else ""

    rows = []
    for shift in shifts:
        baseline = building.untuned(chosen.baseline_dir, chosen.eval_kwargs, shift.target)
        source_id, generalization = (
            building.tuned(chosen.intervention_dir, shift.source, chosen.train_kwargs, chosen.eval_kwargs, target)
            for target in (shift.source, shift.target)
        )
        capability = building.tuned(
            chosen.capability_dir,
            shift.target_reference,
            chosen.capability_train_kwargs,
            chosen.eval_kwargs,
            shift.target_reference,
            capability_suffix,
        )
        rows.append(Row(shift, generalization, source_id, baseline, capability))
    return Plan(building.steps, rows, chosen.baseline_dir.name, chosen.capability_dir.name)


class _Building:
    """A plan that grows: each model and each evaluation file once, in the order of first need."""

    def __init__(self, folders: Mapping[str, Path], base_model_dir: Path, store: Store) -> None:
        self.steps: list[Step] = []
        self._evaluations: dict[tuple[str, str], EvaluationStep] = {}
        self._folders = folders
        self._base_model_dir = base_model_dir
        self._store = store

    def untuned(self, intervention_dir: Path, kwargs: Kwargs, target: str) -> Path:
        name = self._base_model_dir.name
        step = self._evaluations.get((intervention_dir.name, name))
        if step is None:
            step = EvaluationStep(intervention_dir, name, self._base_model_dir, None, kwargs)
            self._add(step)
        return self._target(step, target)

    def tuned(
        self,
        intervention_dir: Path,
        source: str,
        train_kwargs: Kwargs,
        eval_kwargs: Kwargs,
        target: str,
        suffix: str = "",
    ) -> Path:
        name = f"{self._base_model_dir.name}-{source}{suffix}"
        step = self._evaluations.get((intervention_dir.name, name))
        if step is None:
            model_dir = self._store.model_dir(intervention_dir.name, name)
            training = TrainingStep(
                intervention_dir, self._base_model_dir, self._folders[source], train_kwargs, name, model_dir
            )
            self.steps.append(training)
            step = EvaluationStep(intervention_dir, name, model_dir, training, eval_kwargs)
            self._add(step)
        return self._target(step, target)

    def _add(self, step: EvaluationStep) -> None:
        self._evaluations[step.intervention, step.model_name] = step
        self.steps.append(step)

    def _target(self, step: EvaluationStep, target: str) -> Path:
        path = self._store.evaluation_file(step.intervention, step.model_name, target)
        entry = Target(self._folders[target], path)
        if entry not in step.targets:
            step.targets.append(entry)
        return path
