"""A table as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from genies import markdown, spreadsheets
from genies.table.rows import COLUMNS, LEAKED, TARGET_TEXTS, TableRow, shifts_with_holes


def to_csv(rows: Sequence[TableRow], leaked: bool = False) -> str:
    """Comma-separated values with a header line. Missing values are empty fields; numbers are the shortest text that is
    read as the same number.

    leaked: with the column leaked_pairs, for a table without leaked examples.
    """
    seen = any(row.uses_target_texts for row in rows)
    columns = [*COLUMNS, *([LEAKED] if leaked else []), *([TARGET_TEXTS] if seen else [])]
    return spreadsheets.to_csv(columns, map(vars, rows))


_SHOWN = {
    "generalization": "generalization_accuracy",
    "baseline": "baseline_accuracy",
    "target-tuned": "target_tuned_capability",
    "source ID": "source_ID_accuracy",
    "RMS calib. error": "RMS_calibration_error",
    "diff. elicitation": "differential_elicitation",
}


def to_markdown(rows: Sequence[TableRow]) -> str:
    """A Markdown table with three decimals and, for several shifts, the mean over unique shifts. For shifts without a
    source, it has only the columns that they can have."""
    shown = _SHOWN
    if not any(row.source for row in rows):
        shown = {name: _SHOWN[name] for name in ("generalization", "RMS calib. error")}
    lines = [["shift", *shown]]
    lines += [[_shift_name(row), *(_number(getattr(row, name)) for name in shown.values())] for row in rows]
    unique = list({(row.source, row.target, row.target_reference, row.seed): row for row in rows}.values())
    if len(unique) > 1:
        complete = [row for row in unique if row not in shifts_with_holes(unique)]
        means = (_mean([getattr(row, each) for row in complete]) for each in shown.values())
        lines.append([_mean_name(complete, len(rows)), *map(_number, means)])
    return "\n".join(markdown.table(lines[0], lines[1:], numbers=range(1, len(lines[0]))))


def _mean_name(rows: Sequence[TableRow], listed: int) -> str:
    """The name of a mean: over shifts and seeds, or over rows if some seeds of a shift are missing."""
    shifts = len({(row.source, row.target, row.target_reference) for row in rows})
    seeds = len({row.seed for row in rows})
    name = f"{shifts} shift" + ("s" if shifts != 1 else "")
    if len(rows) != shifts * seeds:
        name = f"{len(rows)} rows of {name}"
    elif seeds > 1:
        name += f", {seeds} seeds"
    return f"mean of {name}" if len(rows) == listed else f"mean of {name} (of {listed} rows)"


def _mean(values: Sequence[float | None]) -> float | None:
    """None without values or with a missing one, so that all columns are means over the same shifts."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _shift_name(row: TableRow) -> str:
    reference = "" if row.target_reference == row.target else f" (ref. {row.target_reference})"
    seed = "" if row.seed is None else f", seed {row.seed}"
    seen = ", used target texts" if row.uses_target_texts else ""
    name = f"{row.source} > {row.target}{reference}" if row.source else row.target
    return markdown.escaped(f"{name}{seed}{seen}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
