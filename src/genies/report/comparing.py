"""Paired differences: two interventions, or one and the baseline, on every shift and in the mean over a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.metrics.intervals import Interval
from genies.report.figures import MAIN
from genies.report.lines import ShiftSummary
from genies.report.pairing import cell_difference
from genies.report.standin import Difference, adjust
from genies.report.summary import Group, Summary, lines_by_intervention
from genies.report.verdicts import mean_difference

Key = tuple[str, str]
"""Base model and intervention."""

BASELINE = "baseline"
"""What stands for the baseline in `Comparison.second`."""


@dataclass(frozen=True)
class Comparison:
    """The generalization accuracy of one intervention minus another's, over the shifts of a group."""

    base_model: str
    first: str
    second: str
    """An intervention, or BASELINE."""
    mean: Difference | None
    """None where they have no shift in common or one of them cannot be paired."""
    shifts: dict[Shift, tuple[float, Difference | None]]
    """For every shift in common the difference of the accuracies, and what is known of it."""

    def turned(self) -> Comparison:
        """The second minus the first."""
        shifts = {
            shift: (-value, None if found is None else turned(found)) for shift, (value, found) in self.shifts.items()
        }
        mean = None if self.mean is None else turned(self.mean)
        return Comparison(self.base_model, self.second, self.first, mean, shifts)


def turned(difference: Difference) -> Difference:
    """The same difference with its terms exchanged: the tests are two-sided, so that its p-values stay."""
    interval = difference.interval
    return replace(
        difference,
        value=-difference.value,
        interval=None if interval is None else Interval(-interval.high, -interval.low, interval.method),
        first_only=difference.second_only,
        second_only=difference.first_only,
    )


def against_baseline(summary: Summary, group: Group) -> list[Comparison]:
    """Every intervention but the baseline against the baseline; the verdicts are those of the summary."""
    chosen = lines_by_intervention(summary.shifts, group.shifts)
    found = []
    for mean in group.means:
        lines = chosen[mean.base_model, mean.intervention]
        if lines[0].is_baseline:
            continue
        shifts = {}
        for line in lines:
            accuracy, baseline = (line.estimate(name).value for name in (MAIN.name, "baseline_accuracy"))
            if accuracy is not None and baseline is not None:
                difference = summary.verdict(line).against_baseline
                shifts[line.shift] = accuracy - baseline if difference is None else difference.value, difference
        found.append(Comparison(mean.base_model, mean.intervention, BASELINE, mean.verdict.against_baseline, shifts))
    return found


def against(summary: Summary, group: Group, name: str) -> list[Comparison]:
    """Every other intervention of a base model against the one of this name; the means are one family."""
    chosen = lines_by_intervention(summary.shifts, group.shifts)
    pairs = [(key, (key[0], name)) for key in chosen if key[1] != name and (key[0], name) in chosen]
    return compare(summary, group, pairs)


def comparisons(summary: Summary, group: Group, name: str | None = None) -> list[Comparison]:
    """Every intervention against the baseline and, where one is named, against that one."""
    found = against_baseline(summary, group)
    return found if name is None else [*found, *against(summary, group, name)]


def compare(summary: Summary, group: Group, pairs: Sequence[tuple[Key, Key]]) -> list[Comparison]:
    """Pairs of (base model, intervention) compared over a group of shifts.

    The means of all pairs are one family of Holm's method, and so are the shifts of each pair.
    """
    chosen = lines_by_intervention(summary.shifts, group.shifts)
    return _adjusted(
        [_compare(chosen.get(first, []), chosen.get(second, []), first, second) for first, second in pairs]
    )


def _compare(ours: Sequence[ShiftSummary], theirs: Sequence[ShiftSummary], first: Key, second: Key) -> Comparison:
    has = [[line for line in lines if line.estimate(MAIN.name).value is not None] for lines in (ours, theirs)]
    other = {line.shift: line for line in has[1]}
    shifts = {}
    for line in has[0]:
        if line.shift in other:
            pair = line, other[line.shift]
            one, two = (each.estimate(MAIN.name).value or 0.0 for each in pair)
            readings = ([each.generalization for each in line.readings] for line in pair)
            difference = cell_difference(*readings)
            shifts[line.shift] = one - two if difference is None else difference.value, difference
    return Comparison(first[0], first[1], second[1], mean_difference(MAIN, *has), shifts)


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    means = adjust([each.mean for each in comparisons])
    found = []
    for each, mean in zip(comparisons, means, strict=True):
        differences = adjust([difference for _, difference in each.shifts.values()])
        shifts = {
            shift: (value, difference)
            for (shift, (value, _)), difference in zip(each.shifts.items(), differences, strict=True)
        }
        found.append(replace(each, mean=mean, shifts=shifts))
    return found


def check_name(summary: Summary, name: str) -> None:
    """InputError for an intervention that the study does not have."""
    names = list(dict.fromkeys(line.intervention for line in summary.shifts))
    if name not in names:
        raise InputError(f"--against {name}: expected an intervention of the study: {', '.join(names)}")
