"""A summary as text tables in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from genies import markdown
from genies.errors import InputError
from genies.metrics.shift_means import FEWEST_SOURCES
from genies.metrics.verdict import Difference
from genies.report.comparing import Comparison, PairedDifferences, comparisons
from genies.report.exports import Which, to_csv, to_json
from genies.report.figures import ELICITATION, MAIN, Estimate
from genies.report.lines import ShiftSummary
from genies.report.markup import Cell, TextTable, latex_table, markdown_table
from genies.report.pages import seeds as seeds_text
from genies.report.summary import Group, MeanSummary, Summary
from genies.report.verdicts import tests_of

__all__ = ["Which", "to_csv", "to_json", "to_latex", "to_markdown"]

_FEW = f"there are fewer than {FEWEST_SOURCES} sources (for the untuned model: test sets), and no probabilities"
ALL: tuple[Which, ...] = ("means", "differences", "shifts")
KINDS = ("all", "label", "category")
BY_SOURCE = (MAIN.name, ELICITATION.name)
"""The metrics with a column for the mean over sources; CSV and JSON contain it for all metrics."""


@dataclass(frozen=True)
class Tables:
    """The tables of a summary: the means of each group of shifts, paired differences, and all shifts."""

    summary: Summary
    which: Sequence[Which] = ALL
    against: str | None = None
    """An intervention with which the others are compared, in addition to the baseline."""
    columns: Sequence[str] | None = None
    """The metrics in the tables of means and shifts, in order (default: all)."""
    interventions: Sequence[str] | None = None
    """The interventions with rows (default: all). Tests and marks are the same for any choice."""

    @cached_property
    def _shown(self) -> Summary:
        """The summary with the chosen metrics and interventions."""
        summary, chosen = self.summary, self.interventions
        by_name = {metric.name: metric for metric in summary.metrics}
        metrics = summary.metrics if self.columns is None else tuple(by_name[name] for name in self.columns)

        def is_shown(line: MeanSummary | ShiftSummary) -> bool:
            return chosen is None or line.intervention in chosen

        groups = [replace(group, means=[*filter(is_shown, group.means)]) for group in summary.groups]
        return replace(summary, metrics=metrics, groups=groups, shifts=[*filter(is_shown, summary.shifts)])

    @cached_property
    def comparisons(self) -> list[tuple[Group, Comparison]]:
        """The paired differences of each group; empty if they are not requested. Shifts without a source have no
        baseline, so a group of them has differences only from `against`."""
        groups = self.summary.groups if "differences" in self.which else []
        differences = PairedDifferences(self.summary)
        return [
            (group, each)
            for group in groups
            for each in comparisons(differences, group, self.against)
            if self.interventions is None or each.first in self.interventions
            if each.mean is not None or any(shift.source for shift in group.shifts)
        ]

    def tables(self) -> list[TextTable]:
        """All tables with at least one row."""
        summary, found = self._shown, []
        kinds = [(kind, [each for each in summary.groups if each.kind == kind]) for kind in KINDS]
        if "means" in self.which:
            found += [_means(kind, groups, summary) for kind, groups in kinds if groups]
        if "differences" in self.which:
            for kind, groups in kinds:
                found.append(_differences(kind, groups, [each for each in self.comparisons if each[0].kind == kind]))
        if "shifts" in self.which:
            found.append(_shifts(summary))
        return [table for table in found if table.rows]

    def markdown(self) -> str:
        """Tables in Markdown, with the best and those not significantly different from it in bold, and the notes."""
        parts = [f"**{table.caption}**\n\n{markdown_table(table)}" for table in self.tables()]
        notes = "\n".join(f"- {markdown.escaped(note)}" for note in self.footnotes())
        return "\n\n".join([*parts, notes]) + "\n"

    def latex(self) -> str:
        """Tables in LaTeX, for the packages booktabs, longtable and siunitx; the notes are comments."""
        notes = (f"% {' '.join(note.split())}" for note in self.footnotes())
        return "\n".join(
            [
                "% \\usepackage{booktabs,longtable,siunitx} \\sisetup{detect-weight, mode=text}",
                *notes,
                *map(latex_table, self.tables()),
            ]
        )

    def footnotes(self) -> list[str]:
        """Notes on brackets, bold type and missing values, and the notes of the summary."""
        return _footnotes(self._shown, self.which, [each for _, each in self.comparisons])


def check_choices(summary: Summary, columns: Sequence[str] | None, interventions: Sequence[str] | None) -> None:
    """Raise InputError for a metric or an intervention that the summary does not contain."""
    known = [metric.name for metric in summary.metrics]
    names = list(dict.fromkeys(line.intervention for line in summary.shifts))
    for argument, given, expected in (("columns", columns, known), ("interventions", interventions, names)):
        unknown = [name for name in given or [] if name not in expected]
        if unknown:
            raise InputError(f"--{argument} {unknown[0]}: expected names among {', '.join(expected)}")


def to_markdown(summary: Summary, which: Sequence[Which] = ALL, against: str | None = None) -> str:
    return Tables(summary, which, against).markdown()


def to_latex(summary: Summary, which: Sequence[Which] = ALL, against: str | None = None) -> str:
    return Tables(summary, which, against).latex()


def _means(kind: str, groups: Sequence[Group], summary: Summary) -> TextTable:
    means = [mean for group in groups for mean in group.means]
    several_models = len({mean.base_model for mean in means}) > 1
    seeded = len({mean.seeds for mean in means if mean.shifts}) > 1
    of_all = kind == "all"
    header = [*([] if of_all else [kind]), *(["base model"] if several_models else []), "intervention", "shifts"]
    header += ["sources", *(["seeds"] if seeded else [])]
    rows = []
    for group in groups:
        for mean in sorted(group.means, key=lambda each: each.base_model):
            names = [*([] if of_all else [group.name]), *([mean.base_model] if several_models else [])]
            names += [mean.name, _counted(mean), str(mean.sources)]
            names += [seeds_text(mean.seeds)] if seeded else []
            rows.append([*map(Cell, names), *_metrics(mean, summary)])
    titles = [
        title
        for metric in summary.metrics
        for title in (metric.title, *([f"{metric.title}, mean over sources"] if metric.name in BY_SOURCE else []))
    ]
    caption = f"Means over {_shifts_in(groups[0])}" if of_all else f"Means by {kind}"
    caption += "" if summary.weights == "unique" else ", each counted as often as it is listed"
    return TextTable(caption, header + titles, rows, len(header))


def _metrics(mean: MeanSummary, summary: Summary) -> list[Cell]:
    cells = []
    for metric in summary.metrics:
        cells.append(_cell(mean.estimates[metric.name], mean.verdict.mark(metric.name).starred))
        if metric.name in BY_SOURCE:
            cells.append(_cell(mean.by_source[metric.name], False))
    return cells


def _counted(mean: MeanSummary) -> str:
    return str(mean.of) if mean.shifts == mean.of else f"{mean.shifts} of {mean.of}"


def _differences(kind: str, groups: Sequence[Group], found: Sequence[tuple[Group, Comparison]]) -> TextTable:
    of_all = kind == "all"
    several_models = len({each.base_model for _, each in found}) > 1
    header = [*([] if of_all else [kind]), *(["base model"] if several_models else []), "intervention", "against"]
    header += ["shifts", "sources", "verdict"]
    gains = any(each.source_gain is not None for _, each in found)
    rows = []
    for group, each in found:
        names = [*([] if of_all else [group.name]), *([each.base_model] if several_models else [])]
        names += [each.first, each.second]
        if each.mean is None:
            rows.append([*map(Cell, [*names, "", "", "unknown"]), *([Cell("")] * (5 if gains else 4))])
            continue
        counts = str(each.mean.n_shifts), str(each.mean.n_sources)
        gain = [_gain_cell(each.source_gain)] if gains else []
        rows.append([*map(Cell, [*names, *counts, each.mean.verdict]), *_difference_cells(each), *gain])
    titles = ["difference", "p, adjusted", "better on", "worse on", *(["gain on source"] if gains else [])]
    caption = "Paired differences in generalization accuracy"
    caption += f" over {_shifts_in(groups[0])}" if of_all else f", by {kind}"
    return TextTable(caption, header + titles, rows, len(header))


def _difference_cells(comparison: Comparison) -> list[Cell]:
    mean = comparison.mean
    assert mean is not None
    found = [difference for _, difference in comparison.shifts.values() if difference is not None]
    tested = [each.verdict for each in found if each.p_value is not None]
    counts = [str(tested.count(verdict)) if tested else "" for verdict in ("higher", "lower")]
    return [
        Cell(f"{mean.value:+.3f}", _signed_ends(mean), mean.verdict in ("higher", "lower")),
        Cell(_p_value(mean)),
        *map(Cell, counts),
    ]


def _gain_cell(gain: Difference | None) -> Cell:
    return Cell("") if gain is None else Cell(f"{gain.value:+.3f}", _signed_ends(gain))


def _signed_ends(difference: Difference) -> str:
    interval = difference.interval
    return "" if interval is None else f"[{interval.low:+.3f}, {interval.high:+.3f}]"


def _p_value(difference: Difference) -> str:
    p = difference.adjusted_p_value
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _shifts(summary: Summary) -> TextTable:
    several_models = len({line.base_model for line in summary.shifts}) > 1
    leaked = any(line.left_out is not None for line in summary.shifts)
    header = ["shift", *(["base model"] if several_models else []), "intervention", "pairs"]
    header += ["left out"] if leaked else []
    order = {shift: number for number, shift in enumerate(summary.groups[0].shifts)}
    rows = []
    for line in sorted(summary.shifts, key=lambda each: order[each.shift]):
        name = str(line.shift)
        if line.shift.target_reference != line.shift.target:
            name += f" (ref. {line.shift.target_reference})"
        names = [name, *([line.base_model] if several_models else []), line.name, _count(line.pairs)]
        names += [_count(line.left_out)] if leaked else []
        verdict = summary.verdict(line)
        cells = [_cell(line.estimate(each.name), verdict.mark(each.name).starred) for each in summary.metrics]
        rows.append([*map(Cell, names), *cells])
    return TextTable("Every shift", header + _titles(summary), rows, len(header))


def _titles(summary: Summary) -> list[str]:
    return [metric.title for metric in summary.metrics]


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _cell(estimate: Estimate, strong: bool) -> Cell:
    if estimate.value is None:
        return Cell("")
    interval = "" if estimate.interval is None else f"[{estimate.interval.low:.3f}, {estimate.interval.high:.3f}]"
    return Cell(f"{estimate.value:.3f}", interval, strong)


def _footnotes(summary: Summary, which: Sequence[Which], compared: Sequence[Comparison]) -> list[str]:
    shown: list[Estimate] = []
    means = [mean for group in summary.groups for mean in group.means]
    if "means" in which:
        shown += [each for mean in means for each in mean.estimates.values()]
    if "shifts" in which:
        shown += [line.estimate(metric.name) for line in summary.shifts for metric in summary.metrics]
    notes = []
    if any(each.interval for each in shown):
        methods = dict.fromkeys(each.interval.method for each in shown if each.interval)
        notes.append(f"in brackets: 95 % intervals ({'; '.join(methods)})")
    if any(each.limit for each in shown):
        notes.append(
            f"the interval of a mean over fewer than {FEWEST_SOURCES} sources (untuned model: test sets) is about "
            "these shifts only, because so few do not show how much sources differ"
        )
    without = [each for each in shown if each.value is not None and each.interval is None]
    reasons = (each.missing for each in without if each.missing)
    missing = dict.fromkeys(_FEW if each.startswith("an interval about other") else each for each in reasons)
    if missing:
        notes.append(f"without brackets: no interval, because {'; '.join(missing)}")
    verdicts = [mean.verdict for mean in means] if "means" in which else []
    verdicts += list(summary.cells.values()) if "shifts" in which else []
    marks = [mark for verdict in verdicts for mark in verdict.marks.values()]
    if any(mark.starred for mark in marks):
        tests = " or ".join(tests_of(mark.difference for mark in marks))
        notes.append(
            "bold in a column of metrics: the best intervention of its base model, or not significantly different from "
            f"the best at 0.05 ({tests}; Holm's correction over the column of a group of shifts, or over all shifts), "
            "where at least one is different. "
            "The baseline and scorers that give every pair 1/2 are never marked, nor is a metric in which a constant "
            "1/2 is as good as the best"
        )
    if compared:
        notes.append(_difference_note(compared))
    left_out = sum(line.left_out or 0 for line in summary.shifts)
    if left_out:
        notes.append(f"{left_out} test pairs are excluded because the model was tuned on their prompt")
    return notes + list(summary.notes)


def _difference_note(found: Sequence[Comparison]) -> str:
    means = " or ".join(tests_of(each.mean for each in found))
    shifts = " or ".join(tests_of(difference for each in found for _, difference in each.shifts.values()))
    note = "paired differences: the baseline is the untuned model"
    note += f"; bold: p < 0.05 after Holm's correction ({means})" if means else "; none can be tested"
    if shifts:
        note += f"; better on, worse on: shifts where p < 0.05 after Holm's correction ({shifts})"
    else:
        note += "; better on, worse on: empty, because no single shift can be tested"
    if any(each.source_gain is not None for each in found):
        note += "; gain on source: accuracy on the source minus the untuned model's, in the mean over the same shifts"
    left_out = max((each.mean.left_out for each in found if each.mean is not None), default=0)
    if left_out:
        note += f"; test examples on which only one was tested are excluded, at most {left_out} per difference"
    return note


def _shifts_in(group: Group) -> str:
    return "1 shift" if len(group.shifts) == 1 else f"{len(group.shifts)} shifts"
