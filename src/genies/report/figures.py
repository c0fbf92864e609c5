"""The metrics of one intervention on one shift, each with its interval, over all seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from genies.metrics.intervals import Interval
from genies.metrics.probabilities import Floats
from genies.metrics.shift_means import Average, ShiftFigure, estimate_mean
from genies.report.parts import PARTS, Known, Part
from genies.report.study import ShiftReading


@dataclass(frozen=True)
class Metric:
    """A column of a summary."""

    name: str
    """The name of its column in the CSV table, if it has one."""
    title: str
    lower_is_better: bool = False
    compared: bool = True
    """Whether interventions are compared by it, so that the best one is marked."""
    with_interval: bool = True
    """Whether its mean has an interval."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Its range, to which intervals are clipped."""
    constant_half: float | None = None
    """Its value for a scorer that gives all pairs 1/2; None if that depends on the shift."""


MAIN = Metric("generalization_accuracy", "generalization", constant_half=0.5)
ELICITATION = Metric("differential_elicitation", "diff. elicitation", bounds=(-math.inf, math.inf))
SOURCE = Metric("source_ID_accuracy", "source ID", constant_half=0.5)
BASELINE = Metric("baseline_accuracy", "baseline", compared=False)
BASELINE_SOURCE = Metric("baseline_source_accuracy", "baseline on source", compared=False)
CAPABILITY = Metric("target_tuned_capability", "target-tuned", compared=False)
IF_CALIBRATED = Metric(
    "RMS_calibration_error_if_calibrated", "RMS calib. error if calibrated", compared=False, with_interval=False
)

METRICS = (
    MAIN,
    ELICITATION,
    SOURCE,
    Metric("RMS_calibration_error", "RMS calib. error", lower_is_better=True, constant_half=0.0),
    IF_CALIBRATED,
    CAPABILITY,
    BASELINE,
    Metric("brier_score", "Brier score", lower_is_better=True, constant_half=0.25),
    Metric("log_loss", "log loss", lower_is_better=True, constant_half=math.log(2), bounds=(0.0, math.inf)),
    Metric("auroc", "AUROC", constant_half=0.5),
    Metric("margin", "margin", constant_half=0.0, bounds=(-1.0, 1.0)),
)

STORED = (
    Metric("best_of_n_accuracy", "best of n", compared=False),
    Metric("easy_accuracy", "easy", compared=False),
    Metric("normal_accuracy", "normal", compared=False),
    Metric("hard_accuracy", "hard", compared=False),
    Metric("ties_score", "Ties score", compared=False, bounds=(-0.01, 1.01)),
)
"""Metrics of examples with several responses, for evaluations that contain them."""

PUBLISHED_CALIBRATION = Metric("RMS_calibration_error_published", "RMS calib. error as published", compared=False)
"""Only in summaries with the release's weights; it is not a calibration error."""

BY_NAME = {metric.name: metric for metric in (*METRICS, *STORED, PUBLISHED_CALIBRATION, BASELINE_SOURCE)}


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its interval."""

    value: float | None
    interval: Interval | None = None
    missing: str = ""
    """Why there is no value, or no interval; empty if there are both."""
    limit: str = ""
    """Why the interval of a mean is about these shifts only; empty if it is also about other sources."""


@dataclass(frozen=True, eq=False)
class MetricFigure:
    """A metric of one intervention on one shift, over all seeds."""

    metric: Metric
    parts: Sequence[Part]
    """One for each seed, or a single one that all seeds share."""
    shift: ShiftReading
    """The reading of the first seed."""
    weight: float

    @cached_property
    def value(self) -> float | None:
        """The mean over seeds; None if one of them has no value."""
        return None if self._without_draws is None else self._without_draws.mean

    @cached_property
    def estimate(self) -> Estimate:
        if self.value is None:
            return Estimate(None, None, next(part.missing for part in self.parts if part.value is None))
        parts = self.parts
        if len(parts) == 1:
            return Estimate(self.value, parts[0].interval, parts[0].missing)
        found = self.shift_figure()
        assert found is not None
        interval = estimate_mean([found]).interval if self.metric.with_interval else None
        if interval is None and np.ptp(found.estimates) == 0:
            interval = parts[0].interval  # neither seeds nor prompts vary
        missing = "" if interval is not None else next((part.missing for part in parts if part.missing), "")
        return Estimate(self.value, interval, missing)

    def shift_figure(self, drawn: bool = True) -> ShiftFigure | None:
        """The values for means over shifts, with those in resamples if they are needed; None if there is no value."""
        bare = self._without_draws
        if bare is None or not drawn:
            return bare
        resamples = [found for part in self.parts if (found := part.draw()) is not None]
        return replace(bare, drawn=_stacked(resamples)) if len(resamples) == len(self.parts) else bare

    @cached_property
    def _without_draws(self) -> ShiftFigure | None:
        parts = self.parts
        values = [part.value for part in parts if part.value is not None]
        if len(values) < len(parts):
            return None
        target, model = _measured(self.metric, self.shift)
        return ShiftFigure(
            np.array(values, dtype=np.float64),
            None,
            min(part.clusters for part in parts),
            self.weight,
            target,
            self.shift.shift.source,
            model,
            self.metric.bounds,
        )


def figure(
    metric: Metric, seeds: Sequence[ShiftReading], known: Known | None = None, weight: float = 1.0
) -> MetricFigure:
    """A metric of one intervention on one shift; `seeds` contains its reading for each seed, or a single one.

    known: accuracies by the id of their evaluation, a cache for those that several interventions share.
    """
    parts = [PARTS[metric.name](each, {} if known is None else known) for each in seeds]
    if all(part is parts[0] for part in parts):
        parts = parts[:1]  # one evaluation for all seeds, as for the untuned model, is not a sample of seeds
    return MetricFigure(metric, parts, seeds[0], weight)


def _stacked(drawn: Sequence[Floats]) -> Floats:
    """The resamples of all seeds, shape (seeds, resamples); those of a single one are not copied."""
    return drawn[0][None] if len(drawn) == 1 else np.stack(drawn)


def _measured(metric: Metric, shift: ShiftReading) -> tuple[str, str | None]:
    """The test set of a metric, and the distribution tuned on: None for the source, empty for the untuned model."""
    names = shift.shift
    untuned = "" if shift.is_baseline else None
    if metric is SOURCE:
        return names.source, untuned
    if metric is BASELINE_SOURCE:
        return names.source, ""
    if metric is CAPABILITY:
        return names.target_reference, names.target_reference
    return names.target, "" if metric is BASELINE else untuned


def mean_of(figures: Sequence[ShiftFigure], metric: Metric, average: Average = "shifts") -> Estimate:
    """The mean over shifts, or over sources, with its interval."""
    found = estimate_mean(figures, average)
    if not metric.with_interval:
        return Estimate(found.value)
    if found.interval is None:
        return Estimate(found.value, None, found.reason)
    return Estimate(found.value, found.interval, "", found.reason)
