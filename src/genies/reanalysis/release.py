"""The release's evaluations on the GENIES benchmark and on all its shifts, and the paired differences in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from genies.data.shifts import Shift, read_shifts, unique_pairs
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.harness.store import read_stored
from genies.metrics.resampling import ClusterSums
from genies.metrics.shift_means import Average, MeanEstimate, ShiftFigure, estimate_mean
from genies.metrics.verdict import Difference, adjust, difference_on_shift, difference_over_shifts
from genies.report import release_layout
from genies.report.figures import MAIN
from genies.report.leaks import exclude_leaked
from genies.report.lines import ShiftSummary, shift_summaries
from genies.report.pairing import over_baseline, over_other
from genies.report.reading import read_study
from genies.report.study import Reading, ShiftReading, Study

BASELINE, LORA, MMS = "zero_shot", "lora_fine_tuning", "mms"
READING = ("mms", "cra", "lat_stim_1", "lat_stim_2")
"""The interventions that read representations and use labels."""
SIZES = ("llama-7b", "llama-13b", "llama-30b")

Key = tuple[str, str]
"""Base model and intervention."""


@dataclass(frozen=True)
class Results:
    """Every intervention on a list of shifts, by base model and intervention, with shifts in the list's order."""

    title: str
    lines: Mapping[Key, list[ShiftSummary]]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _ in self.lines))

    def interventions(self, model: str) -> list[str]:
        return [name for of, name in self.lines if of == model]

    def of(self, chosen: Callable[[Shift], bool], title: str = "") -> Results:
        """The results on some of the shifts."""
        lines = {key: [line for line in each if chosen(line.shift)] for key, each in self.lines.items()}
        return Results(title or self.title, {key: each for key, each in lines.items() if each})

    def is_comparable(self, key: Key) -> bool:
        """Whether the accuracies are those of pairs."""
        return all(line.is_comparable for line in self.lines[key])

    def mean(self, key: Key, metric: str = MAIN.name, average: Average = "shifts") -> MeanEstimate:
        """The mean of a metric, which is "generalization_accuracy" or "differential_elicitation"."""
        figures = [figure for line in self.lines[key] if (figure := line.shift_figure(metric)) is not None]
        return estimate_mean(figures, average)

    def over_baseline(self, key: Key, average: Average = "shifts") -> Difference:
        """Accuracy minus the untuned model's, paired by prompt."""
        return _mean((over_baseline(line) for line in self.lines[key]), average)

    def difference(self, first: Key, second: Key, average: Average = "shifts") -> Difference:
        """Accuracy of the first minus that of the second on the shifts of both, paired by prompt."""
        theirs = {line.shift: line for line in self.lines[second]}
        pairs = [(line, theirs[line.shift]) for line in self.lines[first] if line.shift in theirs]
        return _mean((over_other(MAIN, *pair) for pair in pairs), average)

    def shift_differences(self, first: Key, second: Key) -> list[tuple[Shift, float]]:
        """The differences on single shifts."""
        theirs = {line.shift: line.value(MAIN.name) for line in self.lines[second]}
        found = []
        for line in self.lines[first]:
            ours, other = line.value(MAIN.name), theirs.get(line.shift)
            if ours is not None and other is not None:
                found.append((line.shift, ours - other))
        return found

    def against_chance(self, key: Key) -> list[Difference]:
        """Accuracy minus one half on each shift, with p-values adjusted by Holm's method over the shifts."""
        found = [_against_chance(line) for line in self.lines[key]]
        return [each for each in adjust(found) if each is not None]


def _mean(figures: Iterable[tuple[ShiftFigure | None, int]], average: Average) -> Difference:
    return difference_over_shifts([figure for figure, _ in figures if figure is not None], average)


def _against_chance(line: ShiftSummary) -> Difference:
    (shift,) = line.readings
    assert shift.generalization is not None
    values = shift.generalization.pair_values
    if values is None:
        raise InputError(f"{shift.generalization.path} contains no probabilities")
    sums = values.sums("accuracy")
    half = ClusterSums(sums.clusters, sums.pairs / 2, sums.pairs)
    return difference_on_shift(sums, half)


@dataclass(frozen=True)
class Release:
    """The two lists of shifts, and the variants of the second one for sensitivity."""

    genies: Results
    every: Results
    without_leaks: Results
    lora_capability: Results


def read_release(results_dir: Path, shifts_dir: Path, distributions_dir: Path) -> Release:
    """Read the results of the release, as it stored them. `shifts_dir` contains GENIES.json and all.json.

    Raises InputError if the folder has another layout.
    """
    if not release_layout.is_release(results_dir):
        raise InputError(
            f"{results_dir} does not contain the results of the 2023 release; download them with python "
            "download_data.py --published_results True, and give the folder with --results_dir"
        )
    every = unique_pairs(read_shifts(shifts_dir / "all.json"))
    benchmark = unique_pairs(read_shifts(shifts_dir / "GENIES.json"))
    study = read_study(results_dir, every, BASELINE, "best", distributions_dir)
    whole = _results("all shifts", study)
    names = {(shift.source, shift.target): shift for shift in benchmark}
    if missing := [shift for shift in benchmark if (shift.source, shift.target) not in _pairs(whole)]:
        raise InputError(f"{results_dir} has no evaluation for the shift {missing[0]}")
    return Release(
        whole.of(lambda shift: (shift.source, shift.target) in names, "GENIES"),
        whole,
        _results("without leaked examples", exclude_leaked(study, distributions_dir)),
        _results("capability by LoRA", _with_lora_capability(study, results_dir)),
    )


def _pairs(results: Results) -> set[tuple[str, str]]:
    return {(line.shift.source, line.shift.target) for each in results.lines.values() for line in each}


def _results(title: str, study: Study) -> Results:
    lines: dict[Key, list[ShiftSummary]] = {}
    for line in shift_summaries(study.shifts, counted_once=True):
        lines.setdefault(line.key, []).append(line)
    complete = {key: [line for line in each if line.complete] for key, each in lines.items()}
    whole = max(map(len, complete.values()))
    return Results(title, {key: each for key, each in sorted(complete.items()) if len(each) == whole})


def _with_lora_capability(study: Study, results_dir: Path) -> Study:
    """The study with the accuracy of LoRA tuned on the target_reference as capability, where it was measured."""
    shifts: list[ShiftReading] = []
    for each in study.shifts:
        reference = each.shift.target_reference
        path = results_dir / "evaluations" / LORA / f"{each.base_model}-{reference}" / f"{reference}.json"
        evaluation: Evaluation | None = read_stored(path)
        if evaluation is None:
            continue
        known = Evaluation(eval_accuracy=evaluation.eval_accuracy)
        reading = Reading(path, LORA, each.base_model, reference, None, reference, known)
        readings = (each.generalization, each.source_id, each.baseline, reading)
        shifts.append(each.with_evaluations(*readings, each.baseline_source, each.baseline_reference))
    return replace(study, shifts=shifts)
