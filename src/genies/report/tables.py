"""A summary as tables to read and to paste: Markdown, LaTeX, CSV and JSON, all from the same figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from genies import spreadsheets
from genies.harness.table import COLUMNS, LEAKED
from genies.metrics.intervals import Interval
from genies.metrics.shift_means import FEWEST_SHIFTS
from genies.report.figures import Estimate, figure
from genies.report.markup import Cell, TextTable, latex_table, markdown_table, markdown_text
from genies.report.summary import Group, MeanSummary, ShiftSummary, Summary

Which = Literal["means", "shifts"]
LEVEL = 0.95


def text_tables(summary: Summary, which: Sequence[Which] = ("means", "shifts")) -> list[TextTable]:
    """The means over each group of shifts, and all shifts by intervention."""
    tables = []
    if "means" in which:
        for kind in ("all", "label", "category"):
            groups = [group for group in summary.groups if group.kind == kind]
            tables += [_means(kind, groups, summary)] if groups else []
    if "shifts" in which:
        tables.append(_shifts(summary))
    return tables


def to_markdown(summary: Summary, which: Sequence[Which] = ("means", "shifts")) -> str:
    """Tables in Markdown, bold where nothing is better, and the notes."""
    parts = [f"**{table.caption}**\n\n{markdown_table(table)}" for table in text_tables(summary, which)]
    notes = "\n".join(f"- {markdown_text(note)}" for note in _footnotes(summary, which))
    return "\n\n".join([*parts, notes]) + "\n"


def to_latex(summary: Summary, which: Sequence[Which] = ("means", "shifts")) -> str:
    """Tables in LaTeX, for the packages booktabs and longtable; the notes are comments."""
    head = [
        "% \\usepackage{booktabs,longtable}",
        *(f"% {' '.join(note.split())}" for note in _footnotes(summary, which)),
    ]
    return "\n".join([*head, *(latex_table(table) for table in text_tables(summary, which))])


def to_json(summary: Summary) -> str:
    """Everything in a summary as JSON; a figure that is not there is null, and `missing` says why."""
    value = {
        "weights": summary.weights,
        "level": LEVEL,
        "metrics": [asdict(metric) for metric in summary.metrics],
        "groups": [
            {
                "kind": group.kind,
                "name": group.name,
                "shifts": [asdict(shift) for shift in group.shifts],
                "means": [_mean_object(mean) for mean in group.means],
            }
            for group in summary.groups
        ],
        "shifts": [_shift_object(line) for line in summary.shifts],
        "notes": summary.notes,
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(summary: Summary, which: Which = "shifts") -> str:
    """A line for each shift, intervention and seed, the columns of the main job's table first; or one for each mean.

    With the release's weights a shift has as many lines as it counts.
    """
    lines = _shift_lines(summary) if which == "shifts" else _mean_lines(summary)
    return spreadsheets.to_csv(list(lines[0]) if lines else COLUMNS, lines)


def _shift_lines(summary: Summary) -> list[dict[str, Any]]:
    leaked = any(line.left_out is not None for line in summary.shifts)
    columns = [*COLUMNS, LEAKED] if leaked else COLUMNS
    lines = []
    for line in summary.shifts:
        for reading in line.readings:
            row: dict[str, Any] = {name: getattr(reading.row, name) for name in columns}
            for metric in summary.metrics:
                estimate = line.estimate(metric.name)
                if len(line.readings) > 1:
                    estimate = figure(metric, [reading]).estimate
                if metric.name == "RMS_calibration_error" and reading.row.RMS_calibration_formula == "published":
                    row["RMS_calibration_error_weighted"] = estimate.value
                else:
                    row.setdefault(metric.name, estimate.value)
                row[f"{metric.name}_low"] = estimate.interval.low if estimate.interval else None
                row[f"{metric.name}_high"] = estimate.interval.high if estimate.interval else None
            row |= {"ties": line.ties, "examples": line.examples}
            lines += [row] * (line.listed if summary.weights == "published" else 1)
    names = dict.fromkeys(name for row in lines for name in row)
    return [{name: row.get(name) for name in names} for row in lines]


def _mean_lines(summary: Summary) -> list[dict[str, Any]]:
    lines = []
    for group in summary.groups:
        for mean in group.means:
            line: dict[str, Any] = {"group": group.kind, "name": group.name}
            line |= {name: getattr(mean, name) for name in ("base_model", "intervention", "shifts", "of", "ties")}
            for metric in summary.metrics:
                estimate = mean.estimates[metric.name]
                line[metric.name] = estimate.value
                line[f"{metric.name}_low"] = estimate.interval.low if estimate.interval else None
                line[f"{metric.name}_high"] = estimate.interval.high if estimate.interval else None
                line[f"{metric.name}_tied_with_best"] = mean.tied[metric.name]
            lines.append(line)
    return lines


def _mean_object(mean: MeanSummary) -> dict[str, Any]:
    metrics = {name: _estimate_object(each, mean.tied[name]) for name, each in mean.estimates.items()}
    names = ("base_model", "intervention", "shifts", "of", "ties")
    return {**{name: getattr(mean, name) for name in names}, "metrics": metrics}


def _shift_object(line: ShiftSummary) -> dict[str, Any]:
    metrics = {
        name: _estimate_object(each.estimate, line.tied if name == "generalization_accuracy" else None)
        for name, each in line.figures.items()
    }
    names = ("base_model", "intervention", "seeds", "listed", "pairs", "examples", "ties", "left_out")
    return {**asdict(line.shift), **{name: getattr(line, name) for name in names}, "metrics": metrics}


def _estimate_object(estimate: Estimate, tied: bool | None) -> dict[str, Any]:
    interval = estimate.interval
    ends = {each.name: getattr(interval, each.name) if interval else None for each in fields(Interval)}
    return {"value": estimate.value, **ends, "missing": estimate.missing, "tied_with_best": tied}


def _means(kind: str, groups: Sequence[Group], summary: Summary) -> TextTable:
    several_models = len({mean.base_model for group in groups for mean in group.means}) > 1
    of_all = kind == "all"
    header = [*([] if of_all else [kind]), *(["base model"] if several_models else []), "intervention", "shifts"]
    rows = []
    for group in groups:
        for mean in sorted(group.means, key=lambda each: each.base_model):
            counted = str(mean.of) if mean.shifts == mean.of else f"{mean.shifts} of {mean.of}"
            names = [*([] if of_all else [group.name]), *([mean.base_model] if several_models else [])]
            figures = [_cell(mean.estimates[each.name], bool(mean.tied[each.name])) for each in summary.metrics]
            rows.append([*map(Cell, [*names, mean.intervention, counted]), *figures])
    caption = f"Means over {len(groups[0].shifts)} shifts" if of_all else f"Means by {kind}"
    caption += "" if summary.weights == "unique" else ", each counted as often as it is listed"
    return TextTable(caption, header + _titles(summary), rows, len(header))


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
        names = [name, *([line.base_model] if several_models else []), line.intervention, _count(line.pairs)]
        names += [_count(line.left_out)] if leaked else []
        strong = {"generalization_accuracy": bool(line.tied)}
        cells = [_cell(line.estimate(each.name), strong.get(each.name, False)) for each in summary.metrics]
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


def _footnotes(summary: Summary, which: Sequence[Which]) -> list[str]:
    shown: list[Estimate] = []
    if "means" in which:
        shown += [each for group in summary.groups for mean in group.means for each in mean.estimates.values()]
    if "shifts" in which:
        shown += [line.estimate(metric.name) for line in summary.shifts for metric in summary.metrics]
    notes = []
    if any(each.interval for each in shown):
        notes.append(
            f"in brackets: 95 % intervals, from bootstrap over shifts ({FEWEST_SHIFTS} or more), seeds and examples, "
            "as far as there are several, or Wilson's for an accuracy on one shift"
        )
    without = [each for each in shown if each.value is not None and each.interval is None]
    missing = dict.fromkeys(each.missing or "too few examples, or all come out alike" for each in without)
    if missing:
        notes.append(f"a figure without brackets has no interval: {'; '.join(missing)}")
    if any(mark for group in summary.groups for mean in group.means for mark in mean.tied.values()):
        notes.append("bold: the best of its base model, or not to be told from it at 95 % (paired, Holm's correction)")
    left_out = sum(line.left_out or 0 for line in summary.shifts)
    if left_out:
        notes.append(f"{left_out} test pairs are left out because the model was tuned on their prompt")
    return notes + list(summary.notes)
