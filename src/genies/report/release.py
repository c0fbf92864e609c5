"""The layout of the 2023 release's results, where it differs from that of this project.

<results_dir>/evaluations/<baseline>/<base model>-<source>/<target>.json    the baseline of a shift
<results_dir>/target_tuned_capability/<base model>/<target>.json            the accuracy of the best intervention
<results_dir>/evaluations/<intervention>/<base model>-<source>-<other>-<N>%/  tuned on a mixture of two distributions
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from genies.contract import Evaluation
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.files import read_json
from genies.names import check_name
from genies.report.study import Reading, ShiftReading

CAPABILITIES = "target_tuned_capability"
"""Folder of the accuracies of the best intervention on each target."""

_MIXTURE = re.compile(r".+-\d+%")


class _Best(BaseModel):
    best_intervention: str
    best_intervention_accuracy: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
    target_reference: str


class Release:
    """The parts of a results folder that have the release's layout; a folder of this project has none."""

    def __init__(self, results_dir: Path) -> None:
        self._results_dir = results_dir
        self._models = {path.name for path in (results_dir / CAPABILITIES).glob("*") if path.is_dir()}
        self._read: dict[Path, Reading | None] = {}
        self.damaged: list[str] = []

    def has(self, base_model: str) -> bool:
        """Whether the evaluations of this base model have the release's layout."""
        return base_model in self._models

    def capability(self, base_model: str, shift: Shift) -> Reading | None:
        """The best intervention's accuracy on the target reference; None if it is not recorded."""
        path = self._results_dir / CAPABILITIES / base_model / f"{shift.target}.json"
        if path not in self._read:
            self._read[path] = None
            try:
                self._read[path] = _best_of(path, base_model) if path.exists() else None
            except InputError as error:
                self.damaged.append(str(error))
        found = self._read[path]
        return found if found is not None and found.target == shift.target_reference else None

    def notes(self, shifts: Sequence[ShiftReading], readings: Iterable[Reading]) -> list[str]:
        """Notes on capabilities, mixtures and accuracies that cannot be compared."""
        readings = list(readings)
        return [*self._best(shifts), *_mixtures(self._results_dir), *self._per_response(readings), *_unequal(readings)]

    def _best(self, shifts: Sequence[ShiftReading]) -> list[str]:
        used = {each.capability.path: each.capability for each in shifts if each.capability is not None}
        counts: dict[str, Counter[str]] = {}
        for path, reading in used.items():
            if path in self._read:
                counts.setdefault(reading.base_model, Counter())[reading.intervention] += 1
        if not counts:
            return []
        which = "; ".join(
            f"{model}: {', '.join(f'{name} on {count}' for name, count in of_model.most_common())}"
            for model, of_model in sorted(counts.items())
        )
        return [
            "target-tuned capability is the accuracy of the best of all interventions on each target reference, as "
            f"{CAPABILITIES}/ records it; it contains no probabilities, so it counts as a constant ({which})"
        ]

    def _per_response(self, readings: Sequence[Reading]) -> list[str]:
        found = [
            each
            for each in readings
            if each.intervention == "ccs" and self.has(each.base_model) and not each.evaluation.eval_probabilities
        ]
        if not found:
            return []
        return [
            f"the {len(found)} evaluations of ccs of the release contain an accuracy a over single responses, stored "
            "as max(a, 1 - a), so they are not comparable with accuracies over pairs"
        ]


def _best_of(path: Path, base_model: str) -> Reading:
    value = read_json(path, "target-tuned capability")
    try:
        best = _Best.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"target-tuned capability {path}: {where}: {first['msg']}; expected an object with best_intervention, "
            "best_intervention_accuracy (a number from 0 to 1) and target_reference"
        ) from None
    check_name(best.best_intervention, f"{path}, best_intervention", "an intervention")
    check_name(best.target_reference, f"{path}, target_reference", "a distribution")
    evaluation = Evaluation(eval_accuracy=best.best_intervention_accuracy)
    name = best.target_reference
    return Reading(path, best.best_intervention, base_model, name, None, name, evaluation)


def _mixtures(results_dir: Path) -> list[str]:
    """A note that lists the models tuned on mixtures, which belong to no shift."""
    found: dict[str, list[str]] = {}
    for folder in sorted((results_dir / "evaluations").glob("*/*%")):
        if folder.is_dir() and _MIXTURE.fullmatch(folder.name):
            found.setdefault(folder.parent.name, []).append(folder.name)
    if not found:
        return []
    which = "; ".join(f"{intervention}: {', '.join(names)}" for intervention, names in found.items())
    return [
        f"{sum(map(len, found.values()))} models were tuned on a mixture (-N%: N % of the training examples are of the "
        f"second distribution) and are in no mean ({which})"
    ]


def _unequal(readings: Sequence[Reading]) -> list[str]:
    """A note on stored accuracies that are not the share of probabilities above, or from, one half."""
    found = []
    for each in readings:
        probabilities, accuracy = each.evaluation.eval_probabilities, each.evaluation.eval_accuracy
        if probabilities and not each.verified:
            p = np.array(probabilities)
            least, most = float(np.mean(p > 0.5)), float(np.mean(p >= 0.5))
            if not least - 1e-6 <= accuracy <= most + 1e-6:
                found.append(f"{each.intervention}/{each.path.parent.name}/{each.path.name}: {accuracy:.3f}")
    if not found:
        return []
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return [
        f"{len(found)} evaluations store an accuracy that is not the one of their probabilities; the stored one is "
        f"used ({'; '.join(found[:10])}{more})"
    ]
