"""The figures of one intervention on one shift, each with its interval, over all its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genies.contract import Evaluation
from genies.metrics import auroc, brier_score, margin, rms_calibration_error, rms_calibration_error_published
from genies.metrics.calibration import CONFIDENCE_BINS, FORMULA
from genies.metrics.calibration_interval import calibration_interval, resampled_calibration_errors
from genies.metrics.elicitation import resampled_elicitation
from genies.metrics.intervals import (
    Interval,
    accuracy_interval,
    mean_interval,
    percentile_interval,
)
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ExampleSums, resample_weights, resampled_means, sums_by_example, too_few_clusters
from genies.metrics.shift_means import FEWEST_SHIFTS, ShiftFigure, interval_over_shifts
from genies.report.study import Reading, ShiftReading

RESAMPLES = 2_000


@dataclass(frozen=True)
class Metric:
    """A column of a summary."""

    name: str
    """As in the CSV table, where it stands there."""
    title: str
    lower_is_better: bool = False
    compared: bool = True
    """Whether it says something about the intervention, so that the best and those tied with it are marked."""


METRICS = (
    Metric("generalization_accuracy", "generalization"),
    Metric("differential_elicitation", "diff. elicitation"),
    Metric("source_ID_accuracy", "source ID"),
    Metric("RMS_calibration_error", "RMS calib. error", lower_is_better=True),
    Metric("target_tuned_capability", "target-tuned", compared=False),
    Metric("baseline_accuracy", "baseline", compared=False),
    Metric("brier_score", "Brier score", lower_is_better=True),
    Metric("auroc", "AUROC"),
    Metric("margin", "margin"),
)

PUBLISHED_CALIBRATION = Metric("RMS_calibration_error_published", "RMS calib. error as published", compared=False)
"""Stands in a summary with the release's weights only: it is no calibration error."""


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


NO_PROBABILITIES = "the evaluation holds no probabilities"
NO_EXAMPLES = "the evaluation does not say which pairs belong to one example"
OVER_SHIFTS_ONLY = f"AUROC and published calibration errors have intervals over {FEWEST_SHIFTS} shifts or more only"


def figure(metric: Metric, seeds: Sequence[ShiftReading], known: dict[int, Part] | None = None) -> MetricFigure:
    """A metric of one intervention on one shift; `seeds` holds its reading for each seed, or the only one.

    known: accuracies by the id of their evaluation, to compute those once that several interventions share.
    """
    parts = [_OF[metric.name](each, {} if known is None else known) for each in seeds]
    gap = next((part for part in parts if part.value is None), None)
    if gap is not None:
        return MetricFigure(Estimate(None, None, gap.missing))
    values = np.array([part.value for part in parts], dtype=np.float64)
    drawn = [part.drawn for part in parts if part.drawn is not None]
    same = len(drawn) == len(parts)
    found = ShiftFigure(
        values,
        np.stack(drawn) if same else None,
        max(part.examples for part in parts),
        float(max(each.listed for each in seeds)),
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


@dataclass(frozen=True, eq=False)
class Part:
    """A metric on one shift with one seed."""

    value: float | None
    interval: Interval | None = None
    drawn: Floats | None = None
    """In each resample, shape (RESAMPLES,)."""
    examples: int = 0
    missing: str = ""


def example_scores(reading: Reading | None) -> ExampleSums | None:
    """The scores of an evaluation's pairs added up by example; None where it does not tell."""
    if reading is None or not _has_examples(reading.evaluation):
        return None
    assert reading.evaluation.eval_probabilities is not None
    assert reading.evaluation.eval_example_indices is not None
    return sums_by_example(scores(reading.evaluation.eval_probabilities), reading.evaluation.eval_example_indices)


def _has_examples(evaluation: Evaluation) -> bool:
    return bool(evaluation.eval_probabilities) and evaluation.eval_example_indices is not None


def _gap(evaluation: Evaluation) -> str:
    if not evaluation.eval_probabilities:
        return NO_PROBABILITIES
    return "" if _has_examples(evaluation) else NO_EXAMPLES


def _accuracy(reading: Reading | None, known: dict[int, Part]) -> Part:
    if reading is None:
        return Part(None, missing="there is no evaluation")
    key = id(reading.evaluation)
    if key not in known:
        known[key] = _accuracy_of(reading)
    return known[key]


def _accuracy_of(reading: Reading) -> Part:
    value, part = reading.evaluation.eval_accuracy, example_scores(reading)
    if part is None:
        return Part(value, missing=_gap(reading.evaluation))
    drawn = resampled_means(part, resample_weights(part.sums.size, RESAMPLES, 0))
    p, indices = reading.evaluation.eval_probabilities, reading.evaluation.eval_example_indices
    assert p is not None
    assert indices is not None
    return Part(value, accuracy_interval(p, indices, RESAMPLES), drawn, part.sums.size)


def _elicitation(shift: ShiftReading) -> Part:
    value = shift.row.differential_elicitation
    if value is None:
        absent = {"generalization_accuracy", "baseline_accuracy", "target_tuned_capability"}.intersection(shift.missing)
        why = f"there is no {', '.join(sorted(absent))}" if absent else "the target-tuned capability is 0"
        return Part(None, missing=why)
    parts = [example_scores(each) for each in (shift.generalization, shift.baseline, shift.capability)]
    generalization, baseline, capability = parts
    if generalization is None or baseline is None:
        needed = shift.generalization if generalization is None else shift.baseline
        return Part(value, missing=_gap(needed.evaluation) if needed else "")
    on_target = shift.shift.target == shift.shift.target_reference
    if capability is None:
        # A capability known as a number only is taken as it is: near the top it varies least of the three.
        number = np.array([shift.row.target_tuned_capability or 0.0])
        capability, on_target = ExampleSums(np.array([0]), number, np.ones(1)), False
    drawn = resampled_elicitation(generalization, baseline, capability, on_target, RESAMPLES)
    if drawn is None:
        return Part(value, missing="resampled capabilities reach 0")
    examples = generalization.sums.size
    interval = percentile_interval(drawn, examples, "bootstrap over examples") if examples > 1 else None
    return Part(value, interval, drawn, examples)


def _calibration(shift: ShiftReading) -> Part:
    """Always by confidence: the probabilities of a file of the release give it, whatever the file stores."""
    if shift.generalization is None:
        return Part(None, missing="there is no evaluation")
    evaluation = shift.generalization.evaluation
    p, indices = evaluation.eval_probabilities, evaluation.eval_example_indices
    if not p:
        stored = shift.row.RMS_calibration_error if shift.row.RMS_calibration_formula == FORMULA else None
        return Part(stored, missing=NO_PROBABILITIES)
    if indices is None:
        return Part(rms_calibration_error(p), missing=NO_EXAMPLES)
    value, drawn = resampled_calibration_errors(p, indices, CONFIDENCE_BINS, RESAMPLES, 0)
    if drawn is None:
        return Part(value, missing=too_few_clusters(len(set(indices))))
    examples = len(set(indices))
    # Resamples are noisier than the sample; a mean over shifts is about the figures as they are.
    without_noise = np.sqrt(np.maximum(drawn**2 - (np.mean(drawn**2) - value**2), 0))
    return Part(value, calibration_interval(p, indices), without_noise, examples)


def _of_pairs(
    value: Callable[[list[float]], float], each_pair: Callable[[Floats], Floats] | None
) -> Callable[[ShiftReading, dict[int, Part]], Part]:
    """A metric of the generalization's probabilities; `each_pair` gives the pairs' values that it is the mean of."""

    def part(shift: ShiftReading, _: dict[int, Part]) -> Part:
        if shift.generalization is None:
            return Part(None, missing="there is no evaluation")
        evaluation = shift.generalization.evaluation
        p, indices = evaluation.eval_probabilities, evaluation.eval_example_indices
        if not p:
            return Part(None, missing=NO_PROBABILITIES)
        if indices is None or each_pair is None:
            return Part(value(p), missing=NO_EXAMPLES if indices is None else OVER_SHIFTS_ONLY)
        values = each_pair(np.array(p))
        sums = sums_by_example(values, indices)
        drawn = resampled_means(sums, resample_weights(sums.sums.size, RESAMPLES, 0))
        return Part(value(p), mean_interval(values, indices, RESAMPLES), drawn, sums.sums.size)

    return part


def _published_calibration(shift: ShiftReading) -> Part:
    if shift.row.RMS_calibration_formula == "published":
        return Part(shift.row.RMS_calibration_error, missing=OVER_SHIFTS_ONLY)
    p = shift.generalization.evaluation.eval_probabilities if shift.generalization else None
    value = rms_calibration_error_published(p) if p else None
    return Part(value, missing=OVER_SHIFTS_ONLY if value is not None else "not to be computed from the evaluation")


_OF: dict[str, Callable[[ShiftReading, dict[int, Part]], Part]] = {
    "generalization_accuracy": lambda shift, known: _accuracy(shift.generalization, known),
    "differential_elicitation": lambda shift, _: _elicitation(shift),
    "source_ID_accuracy": lambda shift, known: _accuracy(shift.source_id, known),
    "RMS_calibration_error": lambda shift, _: _calibration(shift),
    "target_tuned_capability": lambda shift, known: _accuracy(shift.capability, known),
    "baseline_accuracy": lambda shift, known: _accuracy(shift.baseline, known),
    "brier_score": _of_pairs(brier_score, lambda p: (1 - p) ** 2),
    "auroc": _of_pairs(auroc, None),
    "margin": _of_pairs(margin, lambda p: 2 * p - 1),
    "RMS_calibration_error_published": lambda shift, _: _published_calibration(shift),
}
