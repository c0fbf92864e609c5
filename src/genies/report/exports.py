"""A summary for programs: CSV and JSON with all values, intervals, tests and verdicts."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any, Literal

from genies import spreadsheets
from genies.data.shifts import Shift
from genies.metrics.intervals import Interval
from genies.metrics.verdict import Difference
from genies.report.comparing import Comparison, PairedDifferences, comparisons
from genies.report.figures import MAIN, Estimate, figure
from genies.report.lines import ShiftSummary
from genies.report.summary import MeanSummary, Summary
from genies.report.verdicts import Mark
from genies.table.rows import COLUMNS, LEAKED

Which = Literal["means", "shifts", "differences"]
LEVEL = 0.95
_OF_METRIC = ("name", "title", "lower_is_better", "compared", "constant_half")


def to_json(summary: Summary, against: str | None = None) -> str:
    """A complete summary as JSON. A missing value is null, and `missing` contains the reason.

    against: an intervention with which the others are compared, in addition to the baseline.
    """
    differences = PairedDifferences(summary)
    value = {
        "weights": summary.weights,
        "level": LEVEL,
        "metrics": [{name: getattr(metric, name) for name in _OF_METRIC} for metric in summary.metrics],
        "groups": [
            {
                "kind": group.kind,
                "name": group.name,
                "shifts": [asdict(shift) for shift in group.shifts],
                "means": [_mean_object(mean) for mean in group.means],
                "differences": [_comparison_object(each) for each in comparisons(differences, group, against)],
            }
            for group in summary.groups
        ],
        "shifts": [_shift_object(summary, line) for line in summary.shifts],
        "notes": summary.notes,
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(summary: Summary, which: Which = "shifts", against: str | None = None) -> str:
    """A summary as CSV: a line for each shift, intervention and seed, for each mean, or for each paired difference.

    The lines of shifts start with the columns of the main job's table. With the release's weights, a shift has as many
    lines as its weight.
    """
    if which == "shifts":
        lines = _shift_lines(summary)
    else:
        lines = _mean_lines(summary) if which == "means" else difference_lines(summary, against)
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
                    row["RMS_calibration_error_confidence"] = estimate.value
                else:
                    row.setdefault(metric.name, estimate.value)
                row |= _ends(metric.name, estimate.interval)
            row |= {"ties": line.ties, "examples": line.examples}
            row |= _difference_columns("against_baseline", summary.verdict(line).against_baseline)
            row["against_best"] = summary.verdict(line).mark(MAIN.name).standing
            lines += [row] * (line.listed if summary.weights == "published" else 1)
    names = dict.fromkeys(name for row in lines for name in row)
    return [{name: row.get(name) for name in names} for row in lines]


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _difference_columns(name: str, difference: Difference | None) -> dict[str, Any]:
    return {
        name: difference.value if difference else None,
        **_ends(name, difference.interval if difference else None),
        f"{name}_p": difference.p_value if difference else None,
        f"{name}_p_adjusted": difference.adjusted_p_value if difference else None,
        f"{name}_verdict": difference.verdict if difference else None,
    }


def _mean_lines(summary: Summary) -> list[dict[str, Any]]:
    lines = []
    for group in summary.groups:
        for mean in group.means:
            line: dict[str, Any] = {"group": group.kind, "name": group.name}
            line |= {name: getattr(mean, name) for name in ("base_model", "intervention", "shifts", "of", "sources")}
            line |= {"seeds": mean.seeds[0], "most_seeds": mean.seeds[1], "ties": mean.ties}
            for metric in summary.metrics:
                for name, estimate in (
                    (metric.name, mean.estimates[metric.name]),
                    (f"{metric.name}_by_source", mean.by_source[metric.name]),
                ):
                    line[name] = estimate.value
                    line |= _ends(name, estimate.interval)
                line[f"{metric.name}_against_best"] = mean.verdict.mark(metric.name).standing
            lines.append(line)
    return lines


def difference_lines(summary: Summary, against: str | None = None) -> list[dict[str, Any]]:
    """A line for each paired difference in generalization accuracy: first for groups, then for shifts."""
    differences, lines = PairedDifferences(summary), []
    for group in summary.groups:
        for each in comparisons(differences, group, against):
            lines.append(_difference_line(group.kind, group.name, each, each.mean, None))
            lines[-1]["difference"] = None if each.mean is None else each.mean.value
    for each in comparisons(differences, summary.groups[0], against):
        for shift, (value, difference) in each.shifts.items():
            lines.append({**_difference_line("shift", str(shift), each, difference, shift), "difference": value})
    return lines


def _difference_line(
    kind: str, name: str, comparison: Comparison, difference: Difference | None, shift: Shift | None
) -> dict[str, Any]:
    return {
        "group": kind,
        "name": name,
        "source": shift.source if shift else None,
        "target": shift.target if shift else None,
        "target_reference": shift.target_reference if shift else None,
        "base_model": comparison.base_model,
        "intervention": comparison.first,
        "against": comparison.second,
        "difference": None,
        **_ends("difference", difference.interval if difference else None),
        "p_value": difference.p_value if difference else None,
        "adjusted_p_value": difference.adjusted_p_value if difference else None,
        "verdict": difference.verdict if difference else "unknown",
        "test": difference.test if difference else None,
        "shifts": difference.n_shifts if difference else None,
        "sources": difference.n_sources if difference else None,
        "left_out_examples": difference.left_out if difference else None,
    }


def _mean_object(mean: MeanSummary) -> dict[str, Any]:
    metrics = {
        name: {
            **_estimate_object(each),
            "by_source": _estimate_object(mean.by_source[name]),
            "against_best": _mark_object(mean.verdict.mark(name)),
        }
        for name, each in mean.estimates.items()
    }
    names = ("base_model", "intervention", "shifts", "of", "sources", "seeds", "ties")
    return {
        **{name: getattr(mean, name) for name in names},
        "metrics": metrics,
        "against_baseline": _difference_object(mean.verdict.against_baseline),
    }


def _shift_object(summary: Summary, line: ShiftSummary) -> dict[str, Any]:
    names = ("base_model", "intervention", "seeds", "listed", "pairs", "examples", "ties", "left_out")
    verdict = summary.verdict(line)
    return {
        **asdict(line.shift),
        **{name: getattr(line, name) for name in names},
        "metrics": {each.name: _estimate_object(line.estimate(each.name)) for each in summary.metrics},
        "against_baseline": _difference_object(verdict.against_baseline),
        "against_best": _mark_object(verdict.mark(MAIN.name)),
    }


def _comparison_object(comparison: Comparison) -> dict[str, Any]:
    return {
        "base_model": comparison.base_model,
        "intervention": comparison.first,
        "against": comparison.second,
        "mean": _difference_object(comparison.mean),
        "shifts": [
            {"source": shift.source, "target": shift.target, "target_reference": shift.target_reference}
            | {"difference": value, "test": _difference_object(found)}
            for shift, (value, found) in comparison.shifts.items()
        ],
    }


def _interval_object(interval: Interval | None) -> dict[str, Any]:
    return {each.name: getattr(interval, each.name) if interval else None for each in fields(Interval)}


def _estimate_object(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, **_interval_object(estimate.interval), "missing": estimate.missing}


def _mark_object(mark: Mark) -> dict[str, Any]:
    return {"standing": mark.standing, "difference": _difference_object(mark.difference)}


def _difference_object(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    names = [each.name for each in fields(Difference) if each.name != "interval"]
    return {
        **{name: getattr(difference, name) for name in names},
        **_interval_object(difference.interval),
        "verdict": difference.verdict,
    }
