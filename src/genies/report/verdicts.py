"""Whether interventions differ. All pages, tables and sentences use these verdicts.

An intervention is compared with the baseline and with the best intervention of its base model, on each shift and in the
mean over each group of shifts. p-values that are shown together are adjusted by Holm's method: all cells of the heat
map are one family, and so is each metric in the table of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from genies.data.shifts import Shift
from genies.metrics.shift_means import ShiftFigure, mean_over_shifts
from genies.metrics.verdict import Difference, adjust, difference_over_shifts
from genies.report.figures import BASELINE, CAPABILITY, ELICITATION, MAIN, Metric
from genies.report.first_use import OnFirstUse
from genies.report.lines import ShiftSummary
from genies.report.pairing import cell_difference, over_baseline, over_other
from genies.report.study import Reading

Standing = Literal["best", "not different", "different", "unknown", "not compared"]


@dataclass(frozen=True)
class Mark:
    """An intervention compared with the best one of its base model, in one metric."""

    standing: Standing = "not compared"
    """not compared: the baseline, a constant 1/2, accuracies that are not those of pairs, an intervention with missing
    shifts, or one without rivals."""
    difference: Difference | None = None
    """The intervention minus the best."""
    some_differ: bool = False
    """Whether some rival is significantly different from the best."""

    @property
    def starred(self) -> bool:
        """Whether it is the best or not significantly different from the best, where some rival is different.

        If none is, stars would distinguish nothing.
        """
        return self.some_differ and self.standing in ("best", "not different")


NOT_COMPARED = Mark()

IDENTICAL = "equal on every shift"
"""Name in place of a test if all differences are 0."""


@dataclass(frozen=True)
class Verdict:
    """The result of the comparisons of one intervention, on one shift or in the mean over a group."""

    against_baseline: Difference | None = None
    """Its generalization accuracy minus the baseline's; None if they cannot be paired, and for the baseline."""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """By metric."""
    is_baseline: bool = False

    def mark(self, metric: str) -> Mark:
        return self.marks.get(metric, NOT_COMPARED)

    @property
    def differences(self) -> list[Difference]:
        """All differences with a test."""
        found = [self.against_baseline, *(mark.difference for mark in self.marks.values())]
        return [each for each in found if each is not None and each.p_value is not None]

    @property
    def direction(self) -> str:
        """CSS class of a dot: up, down, level (not significantly different from the baseline) or untested."""
        return "level" if self.is_baseline else direction(self.against_baseline)


def direction(difference: Difference | None) -> str:
    """up for significantly above, down for below, level for not significant, untested if there is no test."""
    if difference is None:
        return "untested"
    return {"higher": "up", "lower": "down", "not significant": "level"}.get(difference.verdict, "untested")


def tests_of(differences: Iterable[Difference | None]) -> list[str]:
    """The distinct names of the tests of some differences; all kinds of bootstrap have one name."""
    names = (each.test for each in differences if each is not None and each.p_value is not None)
    return list(dict.fromkeys("bootstrap of these shifts" if "bootstrap" in name else name for name in names))


CellKey = tuple[str, str, Shift]
"""Base model, intervention and shift."""


def cell_key(line: ShiftSummary) -> CellKey:
    return line.base_model, line.intervention, line.shift


def decide_cells(lines: Sequence[ShiftSummary]) -> dict[CellKey, Verdict]:
    """The verdict of each intervention on each shift, about its generalization accuracy."""
    baselines = adjust([None if line.is_baseline else _cell_over_baseline(line) for line in lines])
    places: dict[tuple[str, Shift], list[int]] = {}
    for place, line in enumerate(lines):
        if is_rival(line) and line.value(MAIN.name) is not None:
            places.setdefault((line.base_model, line.shift), []).append(place)
    contests = [
        _contest(
            MAIN,
            {place: lines[place].value(MAIN.name) or 0.0 for place in rivals},
            MAIN.constant_half,
            lambda place, best: cell_difference(_targets(lines[place]), _targets(lines[best])),
        )
        for rivals in places.values()
    ]
    marks = _marks(contests)
    return {
        cell_key(line): Verdict(baselines[place], {MAIN.name: marks[place]} if place in marks else {}, line.is_baseline)
        for place, line in enumerate(lines)
    }


def _targets(line: ShiftSummary) -> list[Reading | None]:
    return [each.generalization for each in line.readings]


def _cell_over_baseline(line: ShiftSummary) -> Difference | None:
    return cell_difference(_targets(line), [each.baseline for each in line.readings])


def is_rival(line: ShiftSummary) -> bool:
    """Whether an intervention can be the best; the baseline, a constant 1/2 and accuracies not of pairs cannot."""
    return line.is_comparable and not (line.is_baseline or line.is_constant_half or line.intervention == "random")


Cells = Callable[[], Mapping[CellKey, Verdict]]
"""Returns the verdicts of decide_cells, which are computed on first use."""


def decide_means(
    rows: Sequence[Sequence[ShiftSummary]], metrics: Sequence[Metric], of: int, cells: Cells
) -> list[Verdict]:
    """The verdict of each intervention in the mean over the shifts of a group.

    rows: for each base model and intervention, its complete summaries in the group, in the same order of shifts. of:
    number of shifts in the group. Interventions with missing shifts are not marked. In a group of one shift, the
    verdict about the generalization accuracy is that of the cell.
    """
    known = [cells()[cell_key(row[0])] if of == 1 and row else None for row in rows]
    if of == 1:
        baselines = [None if cell is None else cell.against_baseline for cell in known]
    else:
        baselines = adjust([_mean_over_baseline(row) for row in rows])
    marks = OnFirstUse((metric for metric in metrics if metric.compared), lambda metric: _mean_marks(rows, metric, of))
    return [
        Verdict(baselines[place], _marks_of(place, marks, known[place]), bool(row) and row[0].is_baseline)
        for place, row in enumerate(rows)
    ]


def _marks_of(place: int, marks: Mapping[Metric, Mapping[int, Mark]], cell: Verdict | None) -> Mapping[str, Mark]:
    """The marks of one row by metric; those of all rows in a metric are computed together.

    cell: the verdict of the only shift of the group, which is that of the generalization accuracy.
    """
    by_name = {metric.name: metric for metric in marks}

    def mark(name: str) -> Mark:
        if cell is not None and name == MAIN.name:
            return cell.mark(name)
        return marks[by_name[name]].get(place, NOT_COMPARED)

    return OnFirstUse(by_name, mark)


def _mean_over_baseline(row: Sequence[ShiftSummary]) -> Difference | None:
    if not row or row[0].is_baseline:
        return None
    if len(row) == 1:
        return _cell_over_baseline(row[0])
    return over_shifts(over_baseline(line) for line in row)


def _mean_marks(rows: Sequence[Sequence[ShiftSummary]], metric: Metric, of: int) -> dict[int, Mark]:
    by_model: dict[str, dict[int, float]] = {}
    for place, row in enumerate(rows):
        figures = [line.shift_figure(metric.name, drawn=False) for line in row]
        known = [each for each in figures if each is not None]
        if len(known) == of and any(map(is_rival, row)):
            by_model.setdefault(row[0].base_model, {})[place] = mean_over_shifts(known)
    return _marks(
        [
            _contest(
                metric,
                values,
                _constant_half(metric, rows[next(iter(values))]),
                lambda place, best: mean_difference(metric, rows[place], rows[best]),
            )
            for values in by_model.values()
        ]
    )


def mean_difference(metric: Metric, first: Sequence[ShiftSummary], second: Sequence[ShiftSummary]) -> Difference | None:
    """A metric of the first minus that of the second, in the mean over the shifts of both."""
    theirs = {line.shift: line for line in second}
    pairs = [(line, theirs[line.shift]) for line in first if line.shift in theirs]
    if len(pairs) == 1 and metric == MAIN:
        return cell_difference(*map(_targets, pairs[0]))
    return over_shifts(over_other(metric, *pair) for pair in pairs)


def over_shifts(figures: Iterable[tuple[ShiftFigure | None, int]]) -> Difference | None:
    """The mean of differences on shifts; None if one of them is unknown or there are none."""
    found = list(figures)
    known = [each for each, _ in found if each is not None]
    if not known or len(known) < len(found):
        return None
    difference = replace(difference_over_shifts(known), left_out=sum(left_out for _, left_out in found))
    if difference.interval is None and not any(np.any(each.estimates) for each in known):
        return replace(difference, p_value=1.0, test=IDENTICAL, reason="")
    return difference


@dataclass(frozen=True)
class _Contest:
    """Rivals in one metric, by their indices among all rows."""

    best: int | None
    differences: Mapping[int, Difference | None]
    """Each other rival minus the best; None if the two cannot be compared."""


def _contest(
    metric: Metric,
    values: Mapping[int, float],
    constant_half: float | None,
    compare: Callable[[int, int], Difference | None],
) -> _Contest:
    """The best of several rivals, and the differences of the others from it.

    There is no best if there are fewer than two rivals, or if a constant 1/2 is as good. A rival that cannot be
    compared with any other, because its evaluations lack probabilities, is not the best, so the others can be marked.
    """
    rest, differences = dict(values), dict.fromkeys(values, None)
    sign = -1 if metric.lower_is_better else 1
    while len(rest) > 1:
        best = max(rest, key=lambda place: sign * rest[place])
        if constant_half is not None and sign * rest[best] <= sign * constant_half:
            return _Contest(None, {})
        best, found = _settled(rest, best, "lower" if metric.lower_is_better else "higher", compare)
        if any(each is not None and each.verdict != "unknown" for each in found.values()):
            return _Contest(best, {**differences, **found})
        del rest[best]
    return _Contest(None, {} if len(values) < 2 else differences)


def _settled(
    places: Iterable[int], best: int, better: str, compare: Callable[[int, int], Difference | None]
) -> tuple[int, dict[int, Difference | None]]:
    """The best and the others against it: one that is significantly better than the best takes its place.

    That happens where the best was tested on fewer examples, which others find easy as well.
    """
    tried: set[int] = set()
    while True:
        tried.add(best)
        found = {place: compare(place, best) for place in places if place != best}
        above = {
            place: abs(each.value)
            for place, each in found.items()
            if each is not None and each.verdict == better and place not in tried
        }
        if not above:
            return best, found
        best = max(above, key=lambda place: above[place])


def _constant_half(metric: Metric, row: Sequence[ShiftSummary]) -> float | None:
    """The mean over shifts of a metric for a scorer that gives every pair 1/2."""
    if metric != ELICITATION:
        return metric.constant_half
    found = []
    for line in row:
        baseline, capability = (line.value(each.name) for each in (BASELINE, CAPABILITY))
        if baseline is None or not capability:
            return None
        found.append((0.5 - baseline) / capability)
    return float(np.average(found, weights=[line.weight for line in row]))


def _marks(contests: Sequence[_Contest]) -> dict[int, Mark]:
    """The marks of all rivals by their indices. The differences of all contests are one family."""
    places = [(place, each.best) for each in contests for place in each.differences]
    adjusted = adjust([difference for each in contests for difference in each.differences.values()])
    found = {}
    for (place, best), difference in zip(places, adjusted, strict=True):
        if place == best:
            found[place] = Mark("best")
        elif difference is None or difference.verdict == "unknown":
            found[place] = Mark("unknown", difference)
        else:
            same = difference.verdict == "not significant"
            found[place] = Mark("not different" if same else "different", difference)
    some_differ = {best for place, best in places if found[place].standing == "different"}
    return {place: replace(found[place], some_differ=best in some_differ) for place, best in places}
