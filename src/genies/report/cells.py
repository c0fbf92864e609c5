"""The grid of a study: one cell for each intervention and shift, over all seeds, or the reason why it is empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.files import read_json
from genies.harness.plan import possible_model_names
from genies.harness.store import read_stored
from genies.metrics.intervals import Interval
from genies.report.lines import ShiftSummary
from genies.report.study import Reading, ShiftReading
from genies.report.summary import Summary
from genies.report.verdicts import Verdict


@dataclass(frozen=True, order=True)
class Entry:
    """An intervention on a base model."""

    base_model: str
    intervention: str


@dataclass(frozen=True)
class Cell:
    """An intervention on a shift, over all seeds."""

    summary: ShiftSummary
    hole: str | None
    """Why there is no accuracy; None if there is one."""
    verdict: Verdict

    @property
    def entry(self) -> Entry:
        return Entry(self.summary.base_model, self.summary.intervention)

    @property
    def shift(self) -> Shift:
        return self.summary.shift

    @property
    def seeds(self) -> Sequence[ShiftReading]:
        return self.summary.readings

    @property
    def accuracy(self) -> float | None:
        return self.value("generalization_accuracy")

    @property
    def interval(self) -> Interval | None:
        return self.summary.estimate("generalization_accuracy").interval

    @property
    def baseline(self) -> float | None:
        return self.value("baseline_accuracy")

    @property
    def difference(self) -> float | None:
        """Accuracy minus the baseline's: the tested difference, on common examples, if there is a test. None if the
        accuracy is not that of pairs."""
        if not self.summary.is_comparable:
            return None
        tested = self.verdict.against_baseline
        if tested is not None and tested.n_clusters:
            return tested.value
        return None if self.accuracy is None or self.baseline is None else self.accuracy - self.baseline

    @property
    def evaluated(self) -> list[Reading]:
        """The evaluations behind the accuracy, one for each seed."""
        return [each.generalization for each in self.seeds if each.generalization is not None]

    @property
    def verified(self) -> bool:
        return all(reading.verified for reading in self.evaluated)

    def value(self, metric: str) -> float | None:
        return self.summary.value(metric)


@dataclass(frozen=True)
class Grid:
    """All cells of a study."""

    entries: list[Entry]
    """By base model, then by mean accuracy in descending order."""
    shifts: list[Shift]
    cells: Mapping[tuple[Entry, Shift], Cell]

    def of_shift(self, shift: Shift) -> list[Cell]:
        """The cells of this shift, in the order of the entries."""
        found = (self.cells.get((entry, shift)) for entry in self.entries)
        return [cell for cell in found if cell is not None]

    def of_entry(self, entry: Entry, shifts: Iterable[Shift]) -> list[Cell]:
        """The cells of an entry on some shifts."""
        found = (self.cells.get((entry, shift)) for shift in shifts)
        return [cell for cell in found if cell is not None]

    @property
    def models(self) -> list[str]:
        """The base models, in order."""
        return list(dict.fromkeys(entry.base_model for entry in self.entries))

    def name(self, entry: Entry) -> str:
        """The name of an entry on the pages, which includes the base model only if there are several."""
        return f"{entry.intervention}, {entry.base_model}" if len(self.models) > 1 else entry.intervention


def make_grid(summary: Summary, results_dir: Path) -> Grid:
    """The grid of a study. `results_dir` contains the harness's records of failed jobs."""
    found = [Cell(each, _reason(each, results_dir), summary.verdict(each)) for each in summary.shifts]
    cells = {(cell.entry, cell.shift): cell for cell in found}
    entries = list(dict.fromkeys(cell.entry for cell in found))
    models = list(dict.fromkeys(entry.base_model for entry in entries))

    def rank(entry: Entry) -> tuple[int, float]:
        mean = _mean(cell.accuracy for cell in found if cell.entry == entry)
        return models.index(entry.base_model), -mean

    return Grid(sorted(entries, key=rank), list(dict.fromkeys(cell.shift for cell in found)), cells)


def _mean(values: Iterable[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else 0.0


def _reason(summary: ShiftSummary, results_dir: Path) -> str | None:
    """Why there is no accuracy: the message of the failed job if the harness recorded it; None if there is one."""
    if summary.value("generalization_accuracy") is not None:
        return None
    lacking = [each for each in summary.readings if each.generalization is None]
    models = [(each, name) for each in lacking for name in possible_model_names(each.base_model, each.shift, each.seed)]
    for each, model in models:
        try:
            read_stored(results_dir / "evaluations" / each.intervention / model / f"{each.shift.target}.json")
        except InputError as error:
            return str(error)
        folder = results_dir / ".state" / each.intervention / model
        for path in sorted(folder.glob("*.json")):
            failure = _recorded_failure(path)
            if failure is not None:
                return failure if len(failure) <= 400 else failure[:397] + "..."
    seeds = [str(each.seed) for each in lacking if each.seed is not None]
    which = f" with seed {', '.join(seeds)}" if seeds else ""
    shift = summary.shift
    return f"no evaluation: {summary.intervention} tuned on {shift.source}{which}, tested on {shift.target}"


def _recorded_failure(path: Path) -> str | None:
    try:
        value: Any = read_json(path, "state")
    except (InputError, OSError):
        return None
    failure = value.get("failure") if isinstance(value, dict) and value.get("state") == "failed" else None
    return failure if isinstance(failure, str) else None
