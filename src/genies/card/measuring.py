"""Evaluate a scorer on the targets of a card: the main job with a study of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.card.questions import Question
from genies.data.distribution import Distribution
from genies.data.transforming import transformed
from genies.declaration import read_declaration
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.files import read_json, write_json
from genies.folders import intervention_folder
from genies.main_job.main import measure
from genies.main_job.request import MetricsRequest
from genies.shipped import SHIPPED

INTERVENTIONS = {
    "log_probabilities": "zero_shot", "reward_model": "reward_model", "judge": "judge"
}  # fmt: skip


def intervention_of(scorer: str) -> Path:
    """The folder of a scorer: one of the project's, by the names of --scorer, or an intervention that tunes nothing.

    Raises InputError for an intervention that tunes a model.
    """
    folder = Path("src/interventions") / INTERVENTIONS[scorer] if scorer in INTERVENTIONS else Path(scorer)
    found = intervention_folder(folder, SHIPPED, "scorer")
    if scorer not in INTERVENTIONS and read_declaration(found).tunes:
        raise InputError(
            f"--scorer {scorer}: expected {', '.join(INTERVENTIONS)}, or the folder of an intervention whose "
            'intervention.json says "tunes": false; a card trains nothing'
        )
    return found


def scorer_of(folder: Path) -> str:
    """reward_model for a model with a reward head or an adapter, else log_probabilities."""
    if (folder / "adapter_config.json").is_file() or (folder / "v_head.safetensors").is_file():
        return "reward_model"
    config: Any = read_json(folder / "config.json", "model config") if (folder / "config.json").is_file() else {}
    names = config.get("architectures") if isinstance(config, dict) else None
    head = isinstance(names, list) and any(str(name).endswith("ForSequenceClassification") for name in names)
    return "reward_model" if head or (folder / "reward_model.json").is_file() else "log_probabilities"


@dataclass(frozen=True)
class Plan:
    """The targets of a card."""

    folders: dict[str, Path]
    """The installed targets, by name, those that transformations make included."""
    missing: list[str]
    """Targets of the questions that are not installed."""
    kept: dict[str, list[int]]
    """For a target of a transformation, the index in its distribution of each example."""


def plan_targets(questions: Sequence[Question], installed: Path, shipped: Path, made: Path, most: int) -> Plan:
    """The targets of the questions: installed ones, and transformed ones, which are written below `made`.

    A transformed target has at most `most` examples. Raises InputError if no question can be answered.
    """

    def place(name: str) -> Path | None:
        return next((parent / name for parent in (installed, shipped) if (parent / name / "test.json").is_file()), None)

    folders: dict[str, Path] = {}
    kept: dict[str, list[int]] = {}
    missing: list[str] = []
    for question in questions:
        names = list(question.targets)
        if question.transformed is not None:
            names.append(question.transformed.distribution)
        for name in names:
            folder = place(name)
            if folder is None:
                missing.append(name)
            else:
                folders[name] = folder
        if question.transformed is not None and (source := place(question.transformed.distribution)):
            for how in question.transformed.by:
                folder = made / f"{source.name}_{how}"
                kept[folder.name] = _write_transformed(source, how, folder, most)
                folders[folder.name] = folder
    if not folders:
        raise InputError(
            f"none of the targets of the questions is in {installed}; give another folder with --distributions_dir"
        )
    return Plan(folders, list(dict.fromkeys(missing)), kept)


def _write_transformed(source: Path, how: str, folder: Path, most: int) -> list[int]:
    entries, kept = [], []
    for example in Distribution(source).split("test", most):
        entry = transformed(example, how)
        if entry is not None:
            entries.append(entry)
            kept.append(example.index)
    value = {"id": folder.name, "transformation": how, "of": source.name}
    for name, content in (("test.json", entries), ("metadata.json", value)):
        path = folder / name
        if not path.is_file() or read_json(path, "card") != content:  # its time stamp is that of its content
            write_json(path, content)
    return kept


def request_of(
    model: Path, scorer: str, plan: Plan, output: Path, eval_kwargs: dict[str, Any], more: dict[str, Any]
) -> MetricsRequest:
    """The main job that evaluates a model on the targets. `more` are arguments of the main job, such as slots."""
    return MetricsRequest(
        base_model_dir=[model],
        intervention_dir=[intervention_of(scorer)],
        target_dirs=[str(folder.resolve()) for folder in plan.folders.values()],
        eval_kwargs=eval_kwargs,
        output_path=output / "targets.csv",
        results_dir=output / "results",
        **more,
    )


def evaluations_of(request: MetricsRequest, root: Path) -> dict[str, Evaluation]:
    """The evaluations of a model by target; InputError with the failures if there are none."""
    found = measure(request, root, write_table=True, quiet=False)
    by_target = {path.stem: evaluation for path, evaluation in found.evaluations.items()}
    if not by_target:
        raise InputError("no target could be evaluated:\n" + "\n".join(found.failures.lines()))
    return by_target
