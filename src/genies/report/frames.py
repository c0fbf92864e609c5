"""A results folder as pandas data frames, for notebooks. No other module needs pandas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from genies.data.shifts import Shift
from genies.errors import speaks_of_arguments
from genies.metrics import log_loss
from genies.metrics.pairs import scores
from genies.report.comparing import check_name
from genies.report.exports import difference_lines
from genies.report.figures import METRICS, figure
from genies.report.leaks import exclude_leaked as without_leaked
from genies.report.process_settings import for_many_evaluations
from genies.report.reading import read_study
from genies.report.study import Reading, ShiftReading
from genies.report.summary import summarize
from genies.table.rows import COLUMNS, LEAKED

_WHOLE = ("seed", "pairs", "ties", "shifts", "sources", "left_out_examples", LEAKED)
"""Columns of integers in which values can be missing."""

_TEXT = ("source", "target", "target_reference", "label", "category", "dtype", "device", "test")

_WHICH = ["intervention", "base_model", "source", "seed", "target"]


@dataclass(frozen=True)
class Frames:
    """Tidy frames: one column for each variable, one row for each observation."""

    evaluations: pd.DataFrame
    """A row for each evaluation that a shift needs: intervention, base_model, source (missing for the untuned model),
    seed, target, accuracy, pairs, ties, brier_score, log_loss, average_probability, dtype, device, seconds, verified,
    path."""
    pairs: pd.DataFrame
    """A row for each pair of each evaluation with probabilities: the five columns that identify the evaluation, pair
    (its index), example (its index in test.json, missing if unknown), probability, score (1, 0.5 for a tie, 0)."""
    shifts: pd.DataFrame
    """A row for each base model, intervention, seed and shift: the columns of the main job's table, then the ends of
    the 95 % interval of each metric as <name>_low and <name>_high, brier_score, log_loss, auroc and margin."""
    differences: pd.DataFrame
    """A row for each paired difference in generalization accuracy: group (all, label, category or shift), name, source,
    target, target_reference, base_model, intervention, against (baseline or an intervention), difference with the ends
    of its 95 % interval, p_value, adjusted_p_value (Holm), verdict (higher, lower, not significant or unknown), test,
    shifts, sources, left_out_examples."""
    notes: list[str]
    """What is missing or unverified."""


@speaks_of_arguments
@for_many_evaluations()
def read_results(
    results_dir: str | Path = "results",
    shifts: Sequence[Shift] | None = None,
    baseline: str = "zero_shot",
    reference: str = "lora_fine_tune",
    distributions_dir: str | Path | None = "distributions",
    exclude_leaked: bool = False,
    against: str | None = None,
) -> Frames:
    """Read a results folder. Most arguments are those of genies.report.reading.read_study.

    exclude_leaked: exclude test examples whose prompt was tuned on from `shifts` and `differences`; the other frames
    are not affected. against: an intervention with which `differences` compares the others, in addition to the
    baseline. Raises InputError for a folder that cannot be read, and for an unknown intervention.
    """
    distributions = None if distributions_dir is None else Path(distributions_dir)
    study = read_study(Path(results_dir), shifts, baseline, reference, distributions)
    if exclude_leaked:
        study = without_leaked(study, distributions or Path("distributions"))
    summary = summarize(study)
    if against is not None:
        check_name(summary, against)
    return Frames(
        to_frame([_evaluation(each) for each in study.readings]),
        _pairs(study.readings),
        to_frame([_shift(each, exclude_leaked) for each in study.shifts]),
        to_frame(difference_lines(summary, against)),
        study.notes,
    )


def to_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A frame of rows: whole numbers stay whole where some are missing, and an empty column of numbers holds NaN."""
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        if name in _WHOLE:
            frame[name] = frame[name].astype("Int64")
        elif name not in _TEXT and frame[name].isna().all():
            frame[name] = frame[name].astype("float64")
    return frame


def _which(reading: Reading) -> dict[str, Any]:
    return {name: getattr(reading, name) for name in _WHICH}


def _evaluation(reading: Reading) -> dict[str, Any]:
    evaluation, p = reading.evaluation, reading.evaluation.eval_probabilities
    return {
        **_which(reading),
        "accuracy": evaluation.eval_accuracy,
        "pairs": len(p) if p else None,
        "ties": sum(each == 0.5 for each in p) if p else None,
        "brier_score": evaluation.eval_brier_score,
        "log_loss": log_loss(p) if p else None,
        "average_probability": evaluation.eval_average_probability,
        "dtype": evaluation.dtype,
        "device": evaluation.device,
        "seconds": (reading.provenance or {}).get("seconds"),
        "verified": reading.verified,
        "path": str(reading.path),
    }


def _pairs(readings: Sequence[Reading]) -> pd.DataFrame:
    parts = []
    for reading in readings:
        p = reading.evaluation.eval_probabilities
        if not p:
            continue
        indices = reading.evaluation.eval_example_indices
        columns = {
            **_which(reading),
            "pair": range(len(p)),
            "example": pd.array(indices if indices is not None else [None] * len(p), dtype="Int64"),
            "probability": p,
            "score": scores(p),
        }
        part = pd.DataFrame(columns)
        part["seed"] = part["seed"].astype("Int64")
        text = ["intervention", "base_model", "source", "target"]
        part[text] = part[text].astype("string")
        parts.append(part)
    names = [*_WHICH, "pair", "example", "probability", "score"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _shift(shift: ShiftReading, leaked: bool) -> dict[str, Any]:
    line: dict[str, Any] = {name: getattr(shift.row, name) for name in ([*COLUMNS, LEAKED] if leaked else COLUMNS)}
    for metric in METRICS:
        estimate = figure(metric, [shift]).estimate
        if metric.name not in COLUMNS:
            line[metric.name] = estimate.value
        line[f"{metric.name}_low"] = estimate.interval.low if estimate.interval else None
        line[f"{metric.name}_high"] = estimate.interval.high if estimate.interval else None
    return line
