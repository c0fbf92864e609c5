"""The metrics of one intervention on one shift, each with its interval, over all its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genies.metrics.intervals import Interval
from genies.metrics.shift_means import ShiftFigure, interval_over_shifts
from genies.report.parts import PARTS, Known
from genies.report.study import ShiftReading


@dataclass(frozen=True)
class Metric:
    """A column of a summary."""

    name: str
    """As in the CSV table, where it stands there."""
    title: str
    lower_is_better: bool = False
    compared: bool = True
    """Whether it says something about the intervention, so that the best one is marked."""
    with_interval: bool = True
    """Whether it is an estimate, so that its mean has an interval."""
    constant_half: float | None = None
    """What a scorer gets that gives every pair 1/2; None where that depends on the shift."""


MAIN = Metric("generalization_accuracy", "generalization", constant_half=0.5)
ELICITATION = Metric("differential_elicitation", "diff. elicitation")
BASELINE = Metric("baseline_accuracy", "baseline", compared=False)
CAPABILITY = Metric("target_tuned_capability", "target-tuned", compared=False)

METRICS = (
    MAIN,
    ELICITATION,
    Metric("source_ID_accuracy", "source ID", constant_half=0.5),
    Metric("RMS_calibration_error", "RMS calib. error", lower_is_better=True, constant_half=0.0),
    Metric(
        "RMS_calibration_error_if_calibrated", "RMS calib. error if calibrated", compared=False, with_interval=False
    ),
    CAPABILITY,
    BASELINE,
    Metric("brier_score", "Brier score", lower_is_better=True, constant_half=0.25),
    Metric("log_loss", "log loss", lower_is_better=True, constant_half=math.log(2)),
    Metric("auroc", "AUROC", constant_half=0.5),
    Metric("margin", "margin", constant_half=0.0),
)

PUBLISHED_CALIBRATION = Metric("RMS_calibration_error_published", "RMS calib. error as published", compared=False)
"""Part of a summary with the release's weights only: it is no calibration error."""


@dataclass(frozen=True)
class Estimate:
    """A figure and how sure it is."""

    value: float | None
    interval: Interval | None = None
    missing: str = ""
    """Why there is no value, or no interval; empty where both are there."""


@dataclass(frozen=True)
class MetricFigure:
    """A metric on one shift: its estimate, and what a mean over shifts is made from (None for a hole)."""

    estimate: Estimate
    figure: ShiftFigure | None = None


def figure(
    metric: Metric, seeds: Sequence[ShiftReading], known: Known | None = None, weight: float = 1.0
) -> MetricFigure:
    """A metric of one intervention on one shift; `seeds` holds its reading for each seed, or the only one.

    known: accuracies by the id of their evaluation, to compute those once that several interventions share.
    """
    parts = [PARTS[metric.name](each, {} if known is None else known) for each in seeds]
    gap = next((part for part in parts if part.value is None), None)
    if gap is not None:
        return MetricFigure(Estimate(None, None, gap.missing))
    values = np.array([part.value for part in parts], dtype=np.float64)
    drawn = [part.drawn for part in parts if part.drawn is not None]
    same = len(drawn) == len(parts)
    found = ShiftFigure(
        values,
        np.stack(drawn) if same else None,
        max(part.clusters for part in parts),
        weight,
        _sample(metric, seeds[0]),
    )
    interval = parts[0].interval if len(parts) == 1 else interval_over_shifts([found])
    missing = "" if interval is not None else next((part.missing for part in parts if part.missing), "")
    return MetricFigure(Estimate(found.mean, interval, missing), found)


def _sample(metric: Metric, shift: ShiftReading) -> str:
    """The distribution whose test examples a metric is about."""
    if metric.name == "source_ID_accuracy":
        return shift.shift.source
    return shift.shift.target_reference if metric.name == "target_tuned_capability" else shift.shift.target
