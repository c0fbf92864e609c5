"""The order of interventions on pages and in tables: by the difference from the untuned model, best first."""

from __future__ import annotations

from genies.report.figures import BASELINE, MAIN
from genies.report.summary import MeanSummary


def difference_of(mean: MeanSummary) -> float | None:
    """Accuracy minus the baseline's: the tested difference if there is one, and 0 for the baseline. None if the
    accuracy is not that of pairs."""
    if not mean.is_comparable:
        return None
    if mean.verdict.is_baseline:
        return 0.0 if mean.shifts else None
    tested = mean.verdict.against_baseline
    if tested is not None:
        return tested.value
    value, baseline = (mean.estimates[metric.name].value for metric in (MAIN, BASELINE))
    return None if value is None or baseline is None else value - baseline


def best_first(mean: MeanSummary) -> tuple[int, float]:
    """A sort key: first those with a difference, then those with an accuracy alone, then the others."""
    difference, value = difference_of(mean), mean.estimates[MAIN.name].value
    if difference is not None:
        return 0, -difference
    return (2, 0.0) if value is None else (1, -value)
