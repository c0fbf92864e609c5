"""Interventions by metrics: means over all shifts, over each label and each category, and every single shift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from genies.data.shifts import Shift
from genies.metrics.comparison import bootstrap_p_value, p_values_against_best, tied
from genies.metrics.probabilities import Floats
from genies.metrics.shift_means import ShiftFigure, by_sample, interval_over_shifts, mean_over_shifts, spread_rows
from genies.report.comparing import best_of_shift
from genies.report.figures import METRICS, PUBLISHED_CALIBRATION, Estimate, Metric, MetricFigure, Part, figure
from genies.report.study import ShiftReading, Study

Weights = Literal["unique", "published"]


@dataclass(frozen=True)
class ShiftSummary:
    """One intervention on one shift, over all its seeds."""

    shift: Shift
    base_model: str
    intervention: str
    readings: list[ShiftReading]
    """One for each seed."""
    figures: dict[str, MetricFigure]
    """By metric."""
    listed: int
    """How often the shift counts with the release's weights."""
    pairs: int | None
    """Pairs tested on the target; None where the evaluation does not list them."""
    examples: int | None
    ties: int | None
    left_out: int | None
    """Pairs left out because their prompt stands in the train split; None unless that was asked for."""
    tied: bool | None = None
    """Whether its generalization accuracy cannot be told from the best intervention's on this shift; None unless the
    evaluations say which examples they are about."""

    @property
    def seeds(self) -> list[int | None]:
        return [each.seed for each in self.readings]

    def estimate(self, metric: str) -> Estimate:
        return self.figures[metric].estimate


@dataclass(frozen=True)
class MeanSummary:
    """One intervention's means over the shifts of a group."""

    base_model: str
    intervention: str
    shifts: int
    """How many have all four accuracies: the means are over these."""
    of: int
    """How many shifts the group has."""
    ties: int | None
    """Pairs at exactly one half on these shifts' targets; None where that is not known of all."""
    estimates: dict[str, Estimate]
    """By metric."""
    tied: dict[str, bool | None]
    """By metric: whether it is the best of its base model or cannot be told from it; None where shifts are missing or
    the metric is not compared."""


@dataclass(frozen=True)
class Group:
    """Shifts that are averaged together."""

    kind: Literal["all", "label", "category"]
    name: str
    shifts: list[Shift]
    means: list[MeanSummary]


@dataclass(frozen=True)
class Summary:
    """What a study shows."""

    metrics: tuple[Metric, ...]
    weights: Weights
    groups: list[Group]
    """All shifts, then labels, then categories, in order of first mention; a group like all shifts is left out."""
    shifts: list[ShiftSummary]
    """By base model and intervention, shifts in the study's order."""
    notes: list[str]


def summarize(study: Study, weights: Weights = "unique") -> Summary:
    """The summary of a study; each shift counts once, or with "published" as often as its table lists it."""
    metrics = METRICS if weights == "unique" else (*METRICS, PUBLISHED_CALIBRATION)
    known: dict[int, Part] = {}
    shifts = _with_ties([_shift_summary(seeds, metrics, known) for seeds in _by_seed(study.shifts)])
    if weights == "unique":
        shifts = [_counted_once(each) for each in shifts]
    order = list(dict.fromkeys(each.shift for each in shifts))
    groups = [_group("all", "all shifts", order, shifts, metrics)]
    for kind in ("label", "category"):
        names = list(dict.fromkeys(name for shift in order if (name := getattr(shift, kind)) is not None))
        for name in names:
            members = [shift for shift in order if getattr(shift, kind) == name]
            if len(names) > 1 or len(members) < len(order):
                groups.append(_group(kind, name, members, shifts, metrics))
    return Summary(metrics, weights, groups, shifts, study.notes)


def _by_seed(shifts: Iterable[ShiftReading]) -> list[list[ShiftReading]]:
    together: dict[tuple[str, str, Shift], list[ShiftReading]] = {}
    for each in shifts:
        together.setdefault((each.base_model, each.intervention, each.shift), []).append(each)
    return list(together.values())


def _shift_summary(seeds: list[ShiftReading], metrics: Sequence[Metric], known: dict[int, Part]) -> ShiftSummary:
    first = seeds[0]
    evaluations = [each.generalization.evaluation for each in seeds if each.generalization is not None]
    listed = [each.eval_probabilities for each in evaluations if each.eval_probabilities]
    counts = [len(each) for each in listed]
    indices = next((each.eval_example_indices for each in evaluations if each.eval_example_indices), None)
    complete = len(listed) == len(seeds)
    return ShiftSummary(
        first.shift,
        first.base_model,
        first.intervention,
        seeds,
        {metric.name: figure(metric, seeds, known) for metric in metrics},
        max(each.listed for each in seeds),
        max(counts) if complete else None,
        len(set(indices)) if indices else None,
        sum(p == 0.5 for each in listed for p in each) if complete else None,
        first.row.leaked_pairs,
    )


def _counted_once(summary: ShiftSummary) -> ShiftSummary:
    figures = {
        name: replace(each, figure=None if each.figure is None else replace(each.figure, weight=1.0))
        for name, each in summary.figures.items()
    }
    return replace(summary, figures=figures)


def _with_ties(shifts: Sequence[ShiftSummary]) -> list[ShiftSummary]:
    together: dict[tuple[str, Shift], list[ShiftSummary]] = {}
    for each in shifts:
        together.setdefault((each.base_model, each.shift), []).append(each)
    marks: dict[int, bool] = {}
    for group in together.values():
        p_values = best_of_shift([each.readings for each in group])
        if len(group) > 1 and p_values is not None:
            best = group[p_values.index(None)]
            others = [each for each in group if each is not best]
            marks[id(best)] = True
            of_others = tied([p_value for p_value in p_values if p_value is not None])
            marks.update({id(each): mark for each, mark in zip(others, of_others, strict=True)})
    return [replace(each, tied=marks.get(id(each))) for each in shifts]


def _group(
    kind: Literal["all", "label", "category"] | str,
    name: str,
    members: list[Shift],
    shifts: Sequence[ShiftSummary],
    metrics: Sequence[Metric],
) -> Group:
    chosen: dict[tuple[str, str], list[ShiftSummary]] = {}
    for each in shifts:
        if each.shift in members:
            chosen.setdefault((each.base_model, each.intervention), []).append(each)
    means = [_mean(lines, len(members), metrics) for lines in chosen.values()]
    marked = _with_marks(means, list(chosen.values()), metrics)
    return Group("all" if kind == "all" else "label" if kind == "label" else "category", name, members, marked)


def _complete(lines: Sequence[ShiftSummary]) -> list[ShiftSummary]:
    return [line for line in lines if not any(reading.missing for reading in line.readings)]


def _mean(lines: Sequence[ShiftSummary], of: int, metrics: Sequence[Metric]) -> MeanSummary:
    complete = _complete(lines)
    ties = [line.ties for line in complete]
    return MeanSummary(
        lines[0].base_model,
        lines[0].intervention,
        len(complete),
        of,
        sum(each for each in ties if each is not None) if None not in ties else None,
        {metric.name: _mean_estimate(complete, metric) for metric in metrics},
        dict.fromkeys((metric.name for metric in metrics), None),
    )


def _mean_estimate(lines: Sequence[ShiftSummary], metric: Metric) -> Estimate:
    if not lines:
        return Estimate(None, None, "no shift has all of its evaluations")
    found: list[ShiftFigure] = []
    for line in lines:
        each = line.figures[metric.name]
        if each.figure is None:
            return Estimate(None, None, f"{line.shift}: {each.estimate.missing}")
        found.append(each.figure)
    if len(lines) == 1:
        return lines[0].estimate(metric.name)
    interval = interval_over_shifts(found)
    reasons = (line.estimate(metric.name).missing for line in lines)
    return Estimate(mean_over_shifts(found), interval, "" if interval else next(filter(None, reasons), ""))


def _with_marks(
    means: Sequence[MeanSummary], lines: Sequence[Sequence[ShiftSummary]], metrics: Sequence[Metric]
) -> list[MeanSummary]:
    """`means` with the best of each base model, and those tied with it, marked; only with all shifts of the group."""
    marks: list[dict[str, bool | None]] = [dict(mean.tied) for mean in means]
    for base_model in dict.fromkeys(mean.base_model for mean in means):
        rows = [row for row, mean in enumerate(means) if mean.base_model == base_model and mean.shifts == mean.of > 0]
        for metric in metrics:
            known = [row for row in rows if means[row].estimates[metric.name].value is not None]
            if not metric.compared or len(known) < 2:
                continue
            for row, mark in zip(known, _tied([lines[row] for row in known], metric), strict=True):
                marks[row][metric.name] = mark
    return [replace(mean, tied=mark) for mean, mark in zip(means, marks, strict=True)]


def _tied(lines: Sequence[Sequence[ShiftSummary]], metric: Metric) -> Sequence[bool | None]:
    """For each intervention, whether it is the best in a metric or tied with it; None where that cannot be known.

    Over shifts where there are enough of them for a p-value below 0.05 after Holm's correction, else over the examples
    of these shifts: then it is about these very shifts.
    """
    order = [line.shift for line in lines[0]]
    table: list[list[ShiftFigure]] = []
    for each in lines:
        by_shift = {line.shift: line.figures[metric.name].figure for line in each}
        table.append(by_sample([found for shift in order if (found := by_shift[shift]) is not None]))
    weights = np.array([each.weight for each in table[0]])
    means = np.array([[each.mean for each in row] for row in table]) * (-1 if metric.lower_is_better else 1)
    best = int(np.argmax(means @ weights))
    if 2.0 ** (1 - weights.size) * (len(table) - 1) < 0.05:
        p_values = p_values_against_best(means, best, weights)
    else:
        drawn = [_drawn_mean(row) for row in table]
        ours = drawn[best]
        others = [each for row, each in enumerate(drawn) if row != best and each is not None]
        if ours is None or len(others) < len(table) - 1:
            return [None] * len(table)
        p_values = [bootstrap_p_value(ours - each) for each in others]
    marks = tied(p_values)
    return [*marks[:best], True, *marks[best:]]


def _drawn_mean(figures: Sequence[ShiftFigure]) -> Floats | None:
    """The mean over shifts in each resample of their examples, the seeds as they are."""
    drawn = [each.drawn.mean(axis=0) for each in figures if each.drawn is not None]
    if len(drawn) < len(figures):
        return None
    weights = np.array([each.weight for each in figures])
    mean: Floats = spread_rows(np.stack(drawn), np.arange(len(drawn))[None]) @ weights / weights.sum()
    return mean
