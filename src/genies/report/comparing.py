"""Two interventions side by side: on each shift, paired by test example, and over all shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genies.data.shifts import Shift
from genies.metrics.comparison import Comparison, compare, holm, resampled_difference, sign_flip_p_value
from genies.metrics.intervals import Interval
from genies.metrics.resampling import ExampleSums, on_same_examples
from genies.metrics.shift_means import ShiftFigure, by_sample, interval_over_shifts, mean_over_shifts
from genies.report.figures import RESAMPLES, example_scores
from genies.report.study import ShiftReading, Study


@dataclass(frozen=True)
class ShiftComparison:
    """Two interventions on one shift."""

    shift: Shift
    first: float
    """Generalization accuracy, mean over seeds."""
    second: float
    comparison: Comparison | None
    """None where an evaluation does not say which examples its pairs belong to."""
    adjusted_p_value: float | None
    """Adjusted by Holm's method for the number of shifts compared."""


@dataclass(frozen=True)
class StudyComparison:
    """Two interventions of one base model: the first minus the second."""

    base_model: str
    first: str
    second: str
    shifts: list[ShiftComparison]
    """Those that both have an evaluation for."""
    difference: float | None
    """Mean over these shifts of the difference in generalization accuracy; None without any."""
    interval: Interval | None
    """Over shifts, and over the examples of those that tell them."""
    p_value: float | None
    """Of the sign-flip test over shifts, those with one target together."""


def compare_interventions(study: Study, base_model: str, first: str, second: str) -> StudyComparison:
    """Compare two interventions on the shifts that both were tested on."""
    ours, theirs = (_by_shift(study, base_model, name) for name in (first, second))
    shared = [shift for shift in ours if shift in theirs]
    paired = [(shift, _paired(ours[shift], theirs[shift])) for shift in shared]
    compared = [compare(*parts, resamples=RESAMPLES) if parts else None for _, parts in paired]
    known = [position for position, each in enumerate(compared) if each is not None]
    adjusted = dict(zip(known, holm([each.p_value for each in compared if each is not None]), strict=True))
    lines, figures = [], []
    for position, (shift, parts) in enumerate(paired):
        mine, other = _accuracy(ours[shift]), _accuracy(theirs[shift])
        lines.append(ShiftComparison(shift, mine, other, compared[position], adjusted.get(position)))
        drawn = resampled_difference(*parts, RESAMPLES)[None] if parts else None
        examples = parts[0].sums.size if parts else 0
        figures.append(ShiftFigure(np.array([mine - other]), drawn, examples, sample=shift.target))
    if not lines:
        return StudyComparison(base_model, first, second, [], None, None, None)
    p_value = sign_flip_p_value([each.mean * each.weight for each in by_sample(figures)])
    return StudyComparison(
        base_model, first, second, lines, mean_over_shifts(figures), interval_over_shifts(figures), p_value
    )


def best_of_shift(interventions: Sequence[Sequence[ShiftReading]]) -> list[float | None] | None:
    """p-values of each intervention against the most accurate one on their shift, whose own is None.

    Each item holds the readings of an intervention's seeds. None where one of them lacks an evaluation or does not
    tell which pairs belong to one example.
    """
    if any(reading.generalization is None for each in interventions for reading in each):
        return None
    accuracies = [_accuracy(each) for each in interventions]
    best = accuracies.index(max(accuracies))
    p_values: list[float | None] = []
    for position, each in enumerate(interventions):
        parts = None if position == best else _paired(interventions[best], each)
        if position != best and parts is None:
            return None
        p_values.append(None if parts is None else sign_flip_p_value(parts[0].sums - parts[1].sums))
    return p_values


def _by_shift(study: Study, base_model: str, intervention: str) -> dict[Shift, list[ShiftReading]]:
    found: dict[Shift, list[ShiftReading]] = {}
    for each in study.shifts:
        if (each.base_model, each.intervention) == (base_model, intervention) and each.generalization is not None:
            found.setdefault(each.shift, []).append(each)
    return found


def _accuracy(seeds: Sequence[ShiftReading]) -> float:
    return float(np.mean([each.generalization.evaluation.eval_accuracy for each in seeds if each.generalization]))


def _paired(first: Sequence[ShiftReading], second: Sequence[ShiftReading]) -> tuple[ExampleSums, ExampleSums] | None:
    """Scores by example of both, over the same examples, mean over seeds; None where these cannot be paired."""
    ours, theirs = _seed_mean(first), _seed_mean(second)
    if ours is None or theirs is None:
        return None
    together = on_same_examples([ours, theirs])
    same = np.array_equal(together[0].pairs, together[1].pairs)
    return (together[0], together[1]) if same else None


def _seed_mean(seeds: Sequence[ShiftReading]) -> ExampleSums | None:
    parts = [part for each in seeds if (part := example_scores(each.generalization)) is not None]
    if len(parts) < len(seeds):
        return None
    together = on_same_examples(parts)
    if any(not np.array_equal(each.pairs, together[0].pairs) for each in together):
        return None
    sums = np.mean([each.sums for each in together], axis=0)
    return ExampleSums(together[0].examples, sums, together[0].pairs)
