"""Paired differences of two interventions, or of one and the baseline, on shifts and in the mean over a group.

Each pair has one result. Two interventions are compared on one base model, and one intervention on two base models; the
p-values of the latter are a family of their own. Comparisons with the baseline and with the best intervention are those
of the summary and the heat map. The p-values of all other pairs are adjusted by Holm's method: means over all such
pairs of a group of shifts, single shifts over the shifts of the pair. A group of one shift has the result of the shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.metrics.intervals import Interval
from genies.metrics.verdict import Difference, adjust
from genies.report.figures import BASELINE, MAIN
from genies.report.lines import ShiftSummary
from genies.report.pairing import cell_difference, source_gain
from genies.report.summary import Group, Summary, lines_by_intervention
from genies.report.verdicts import Verdict, mean_difference, over_shifts

Key = tuple[str, str]
"""Base model and intervention."""

THE_BASELINE = "baseline"
"""The value of `Comparison.second` for the baseline."""

Cells = dict[Shift, tuple[float, Difference | None]]
"""For each shift that both have, the difference in accuracy and its test."""


@dataclass(frozen=True)
class Comparison:
    """The generalization accuracy of one intervention minus another's, over the shifts of a group."""

    base_model: str
    first: str
    second: str
    """An intervention, or THE_BASELINE. In a comparison of base models, the other base model."""
    mean: Difference | None
    """None if they have no shift in common or one of them cannot be paired."""
    shifts: Cells
    source_gain: Difference | None = None
    """Against the baseline: the mean over the same shifts of the gain in accuracy on the source, with its interval;
    None if the untuned model was not tested on a source."""


def turned(difference: Difference) -> Difference:
    """The difference with its terms exchanged. The tests are two-sided, so p-values are unchanged."""
    interval = difference.interval
    return replace(
        difference,
        value=-difference.value,
        interval=None if interval is None else Interval(-interval.high, -interval.low, interval.method),
        first_only=difference.second_only,
        second_only=difference.first_only,
    )


class PairedDifferences:
    """The paired differences of a study, which are computed on first use and cached."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._lines = lines_by_intervention(summary.shifts, summary.groups[0].shifts)
        self._cells: dict[tuple[Key, Key], Cells] = {}
        self._means: dict[tuple[str, str], dict[tuple[Key, Key], Difference | None]] = {}
        self._across: dict[tuple[str, str], dict[tuple[Key, Key], Difference | None]] = {}

    def against_baseline(self, group: Group) -> list[Comparison]:
        """All interventions except the baseline against the baseline."""
        found = []
        for mean in group.means:
            lines = self._lines[mean.base_model, mean.intervention]
            if not lines[0].is_baseline:
                cells = {line.shift: cell for line in lines if (cell := self._over_baseline(line)) is not None}
                decided, key = mean.verdict.against_baseline, (mean.base_model, mean.intervention)
                compared = self._comparison(key, THE_BASELINE, decided, cells, group)
                gained = [line for line in lines if line.shift in compared.shifts]
                gain = over_shifts((source_gain(line), 0) for line in gained)
                found.append(replace(compared, source_gain=gain))
        return found

    def against(self, group: Group, name: str) -> list[Comparison]:
        """All other interventions of each base model against the one with this name."""
        keys = [(mean.base_model, mean.intervention) for mean in group.means]
        return [self.compare(group, key, (key[0], name)) for key in keys if key[1] != name and (key[0], name) in keys]

    def compare(self, group: Group, first: Key, second: Key) -> Comparison:
        """Two interventions of one base model, or one intervention on two base models, over a group of shifts."""
        across = first[0] != second[0]
        cells = self._cell_differences(first, second)
        if len(group.shifts) == 1:
            mean = cells.get(group.shifts[0], (0.0, None))[1]
        else:
            means = self._across_models(group) if across else self._mean_differences(group)
            found = means.get((second, first))
            mean = means[first, second] if (first, second) in means else None if found is None else turned(found)
        return self._comparison(first, second[not across], mean, cells, group)

    def _across_models(self, group: Group) -> dict[tuple[Key, Key], Difference | None]:
        """The mean differences of each intervention between base models."""
        place = group.kind, group.name
        if place not in self._across:
            keys = [(mean.base_model, mean.intervention) for mean in group.means]
            pairs = [pair for pair in combinations(keys, 2) if pair[0][1] == pair[1][1] and pair[0][0] != pair[1][0]]
            lines = lines_by_intervention(self._summary.shifts, group.shifts)
            found = [mean_difference(MAIN, *(_evaluated(lines[key]) for key in pair)) for pair in pairs]
            self._across[place] = dict(zip(pairs, adjust(found), strict=True))
        return self._across[place]

    def _comparison(self, first: Key, second: str, mean: Difference | None, cells: Cells, group: Group) -> Comparison:
        return Comparison(*first, second, mean, {shift: cells[shift] for shift in group.shifts if shift in cells})

    def _over_baseline(self, line: ShiftSummary) -> tuple[float, Difference | None] | None:
        accuracy, baseline = (line.value(each.name) for each in (MAIN, BASELINE))
        if accuracy is None or baseline is None or not line.is_comparable:
            return None
        difference = self._summary.verdict(line).against_baseline
        return accuracy - baseline if difference is None else difference.value, difference

    def _mean_differences(self, group: Group) -> dict[tuple[Key, Key], Difference | None]:
        place = group.kind, group.name
        if place not in self._means:
            verdicts = {(mean.base_model, mean.intervention): mean.verdict for mean in group.means}
            pairs = [pair for pair in combinations(verdicts, 2) if pair[0][0] == pair[1][0]]
            decided = {pair: known for pair in pairs if (known := _decided(pair, verdicts)) is not None}
            rest = [pair for pair in pairs if pair not in decided]
            lines = lines_by_intervention(self._summary.shifts, group.shifts)
            differences = [mean_difference(MAIN, *(_evaluated(lines[key]) for key in pair)) for pair in rest]
            self._means[place] = {**decided, **dict(zip(rest, adjust(differences), strict=True))}
        return self._means[place]

    def _cell_differences(self, first: Key, second: Key) -> Cells:
        if (first, second) not in self._cells:
            found = self._computed_cells(first, second)
            self._cells[first, second] = found
            self._cells[second, first] = {
                shift: (-value, None if difference is None else turned(difference))
                for shift, (value, difference) in found.items()
            }
        return self._cells[first, second]

    def _computed_cells(self, first: Key, second: Key) -> Cells:
        theirs = {line.shift: line for line in _evaluated(self._lines.get(second, []))}
        pairs = [(line, theirs[line.shift]) for line in _evaluated(self._lines[first]) if line.shift in theirs]
        decided, rest = {}, {}
        for ours, other in pairs:
            verdicts = {line.key: self._summary.verdict(line) for line in (ours, other)}
            known = _decided((first, second), verdicts) if first[0] == second[0] else None
            if known is None:
                rest[ours.shift] = cell_difference(
                    [each.generalization for each in ours.readings], [each.generalization for each in other.readings]
                )
            else:
                decided[ours.shift] = known
        differences = {**decided, **dict(zip(rest, adjust(list(rest.values())), strict=True))}
        cells = {}
        for ours, other in pairs:
            one, two = (line.value(MAIN.name) or 0.0 for line in (ours, other))
            difference = differences[ours.shift]
            cells[ours.shift] = one - two if difference is None else difference.value, difference
        return cells


def _evaluated(lines: Sequence[ShiftSummary]) -> list[ShiftSummary]:
    return [line for line in lines if line.value(MAIN.name) is not None and line.is_comparable]


def _decided(pair: tuple[Key, Key], verdicts: Mapping[Key, Verdict]) -> Difference | None:
    """The first minus the second from a known verdict, if one of them is the baseline or the best intervention."""
    for (this, other), sign in ((pair, 1), (pair[::-1], -1)):
        of_other = verdicts[other]
        known = None
        if of_other.is_baseline:
            known = verdicts[this].against_baseline
        elif of_other.mark(MAIN.name).standing == "best":
            known = verdicts[this].mark(MAIN.name).difference
        if known is not None:
            return known if sign == 1 else turned(known)
    return None


def check_name(summary: Summary, name: str) -> None:
    """Raise InputError if the study does not contain the intervention."""
    names = list(dict.fromkeys(line.intervention for line in summary.shifts))
    if name not in names:
        raise InputError(f"--against {name}: expected an intervention of the study: {', '.join(names)}")


def comparisons(differences: PairedDifferences, group: Group, name: str | None = None) -> list[Comparison]:
    """All interventions against the baseline and, if `name` is given, also against that intervention."""
    found = differences.against_baseline(group)
    return found if name is None else [*found, *differences.against(group, name)]
