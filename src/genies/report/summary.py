"""Metrics of interventions: means over all shifts, over each label and category, and values on each shift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from genies.data.shifts import Shift
from genies.metrics.shift_means import Average
from genies.report.figures import (
    BASELINE,
    CAPABILITY,
    METRICS,
    PUBLISHED_CALIBRATION,
    STORED,
    Estimate,
    Metric,
    mean_of,
)
from genies.report.first_use import ListOnFirstUse, OnFirstUse
from genies.report.lines import ShiftSummary, marked, shift_summaries
from genies.report.study import Study
from genies.report.verdicts import CellKey, Cells, Verdict, cell_key, decide_cells, decide_means

Weights = Literal["unique", "published"]
Kind = Literal["all", "label", "category"]


@dataclass(frozen=True)
class MeanSummary:
    """One intervention's means over the shifts of a group."""

    base_model: str
    intervention: str
    shifts: int
    """Number of shifts with all four accuracies; the means are over these."""
    of: int
    """Number of shifts in the group."""
    sources: int
    """Number of distinct sources of these shifts."""
    seeds: tuple[int, int]
    """Smallest and largest number of seeds of a shift; 1 if the study has no seeds."""
    ties: int | None
    """Number of pairs with a probability of exactly one half on these shifts' targets; None if unknown for a shift."""
    estimates: Mapping[str, Estimate]
    """By metric."""
    by_source: Mapping[str, Estimate]
    """The mean over sources of the mean over each source's shifts, by metric."""
    verdict: Verdict
    uses_target_texts: bool = False
    """Whether the method used unlabelled texts of a target."""
    is_comparable: bool = True
    """Whether the accuracies are those of pairs."""

    @property
    def name(self) -> str:
        """The intervention, marked if it used unlabelled texts of a target."""
        return marked(self.intervention, self.uses_target_texts)


@dataclass(frozen=True)
class Group:
    """Shifts that are averaged together."""

    kind: Kind
    name: str
    shifts: list[Shift]
    means: list[MeanSummary]


@dataclass(frozen=True)
class Summary:
    """The statistics of a study."""

    metrics: tuple[Metric, ...]
    weights: Weights
    groups: Sequence[Group]
    """All shifts, then labels, then categories, in order of first occurrence, without groups equal to all shifts."""
    shifts: list[ShiftSummary]
    """By base model and intervention, with shifts in the study's order."""
    cells: Mapping[CellKey, Verdict]
    """The verdict of each item of `shifts`."""
    notes: list[str]

    def verdict(self, line: ShiftSummary) -> Verdict:
        return self.cells[cell_key(line)]


def summarize(study: Study, weights: Weights = "unique") -> Summary:
    """The summary of a study. Each shift counts once, or with "published" as often as its table lists it."""
    evaluations = [each.generalization.evaluation for each in study.shifts if each.generalization is not None]
    known = {metric for metric in STORED for each in evaluations if getattr(each, f"eval_{metric.name}") is not None}
    stored = [metric for metric in STORED if metric in known]
    metrics = (*METRICS, *stored, *([] if weights == "unique" else [PUBLISHED_CALIBRATION]))
    _read_pairs(study)
    lines = shift_summaries(study.shifts, weights == "unique")
    order = list(dict.fromkeys(each.shift for each in lines))
    decided = cache(lambda: decide_cells(lines))

    def group(kind: Kind, name: str, members: list[Shift]) -> Callable[[], Group]:
        return lambda: _group(kind, name, members, lines, metrics, decided)

    groups = [group("all", "all shifts", order)]
    kinds: tuple[Kind, ...] = ("label", "category")
    for kind in kinds:
        names = list(dict.fromkeys(name for shift in order if (name := getattr(shift, kind)) is not None))
        for name in names:
            members = [shift for shift in order if getattr(shift, kind) == name]
            if len(names) > 1 or len(members) < len(order):
                groups.append(group(kind, name, members))
    cells = OnFirstUse(map(cell_key, lines), lambda key: decided()[key])
    return Summary(metrics, weights, ListOnFirstUse(groups), lines, cells, study.notes)


def _read_pairs(study: Study) -> None:
    """Read the pairs of all evaluations, so that those on the same examples are resampled together."""
    for reading in study.readings:
        _ = reading.pair_values
    for shift in study.shifts:
        if shift.generalization is not None and (values := shift.generalization.pair_values) is not None:
            values.needs_all_metrics = True


def lines_by_intervention(
    lines: Sequence[ShiftSummary], shifts: Sequence[Shift]
) -> dict[tuple[str, str], list[ShiftSummary]]:
    """The summaries on some shifts for each base model and intervention, in the order of `shifts`."""
    chosen: dict[tuple[str, str], list[ShiftSummary]] = {}
    for line in lines:
        if line.shift in shifts:
            chosen.setdefault(line.key, []).append(line)
    return {key: sorted(each, key=lambda line: shifts.index(line.shift)) for key, each in chosen.items()}


def _group(
    kind: Kind,
    name: str,
    members: list[Shift],
    lines: Sequence[ShiftSummary],
    metrics: Sequence[Metric],
    cells: Cells,
) -> Group:
    chosen = lines_by_intervention(lines, members)
    complete = [[line for line in each if line.complete] for each in chosen.values()]
    verdicts = decide_means(complete, metrics, len(members), cells)
    known: Known = {}
    means = [
        _mean(key, each, len(members), metrics, verdict, known)
        for key, each, verdict in zip(chosen, complete, verdicts, strict=True)
    ]
    return Group(kind, name, members, means)


def _mean(
    key: tuple[str, str],
    lines: Sequence[ShiftSummary],
    of: int,
    metrics: Sequence[Metric],
    verdict: Verdict,
    known: Known,
) -> MeanSummary:
    ties = [line.ties for line in lines]
    by_name = {metric.name: metric for metric in metrics}

    def over(average: Average) -> Mapping[str, Estimate]:
        return OnFirstUse(by_name, lambda name: _estimate(lines, by_name[name], known, average))

    estimates = over("shifts")
    sources = len({line.shift.source for line in lines} - {""})
    # With one source, or one shift per source, both means are equal.
    alike = sources <= 1 or (sources == len(lines) and len({line.weight for line in lines}) == 1)
    by_source = estimates if alike else over("sources")
    seeds = [len(line.readings) for line in lines] or [0]
    return MeanSummary(
        base_model=key[0],
        intervention=key[1],
        shifts=len(lines),
        of=of,
        sources=sources,
        seeds=(min(seeds), max(seeds)),
        ties=sum(each for each in ties if each is not None) if None not in ties else None,
        estimates=estimates,
        by_source=by_source,
        verdict=verdict,
        uses_target_texts=any(line.uses_target_texts for line in lines),
        is_comparable=all(line.is_comparable for line in lines),
    )


Known = dict[tuple[object, ...], Estimate]
"""A cache of the means of references, which several interventions share, by their inputs."""


def _estimate(lines: Sequence[ShiftSummary], metric: Metric, known: Known, average: Average = "shifts") -> Estimate:
    """The mean over shifts or over sources, with its interval."""
    if metric not in (BASELINE, CAPABILITY):
        return _computed(lines, metric, average)
    readings = [each.baseline if metric == BASELINE else each.capability for line in lines for each in line.readings]
    weights = [(line.shift, line.weight, len(line.readings)) for line in lines]
    key = metric.name, average, *weights, *(None if each is None else id(each.evaluation) for each in readings)
    if key not in known:
        known[key] = _computed(lines, metric, average)
    return known[key]


def _computed(lines: Sequence[ShiftSummary], metric: Metric, average: Average) -> Estimate:
    gap = _gap(lines, metric)
    if gap is not None:
        return gap
    if len(lines) == 1:
        return lines[0].estimate(metric.name)
    estimate = mean_of(
        [found for line in lines if (found := line.shift_figure(metric.name)) is not None], metric, average
    )
    reasons = (line.estimate(metric.name).missing for line in lines)
    if estimate.interval is None and not estimate.missing:
        return replace(estimate, missing=next(filter(None, reasons), ""))
    return estimate


def _gap(lines: Sequence[ShiftSummary], metric: Metric) -> Estimate | None:
    """Why there is no mean."""
    if not lines:
        return Estimate(None, None, "no shift has all evaluations")
    for line in lines:
        if line.value(metric.name) is None:
            return Estimate(None, None, f"{line.shift}: {line.estimate(metric.name).missing}")
    return None
