"""Metrics on one shift with one seed: the value, the interval, and the value in each resample of test prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genies.metrics import (
    auroc,
    brier_score,
    calibration_error_of_calibrated,
    is_constant_half,
    log_loss,
    margin,
    rms_calibration_error,
    rms_calibration_error_published,
)
from genies.metrics.calibration import FORMULA
from genies.metrics.calibration_interval import calibration_interval
from genies.metrics.elicitation import resampled_elicitation
from genies.metrics.intervals import OVER_PROMPTS, Interval, bootstrap_interval, interval_of_scores, percentile_interval
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import (
    FEWEST_CLUSTERS,
    ClusterSums,
    too_few_clusters,
)
from genies.metrics.shift_means import NO_VARIATION, ROUNDING
from genies.report.pair_values import EACH_PAIR, RESAMPLES
from genies.report.study import Reading, ShiftReading

CALIBRATED_DRAWS = 30
"""Number of simulations of a calibrated scorer for each evaluation, enough for two decimals of the mean."""

NO_EVALUATION = "there is no evaluation"
NO_PROBABILITIES = "the evaluation contains no probabilities"
NO_EXAMPLES = "the evaluation does not contain the example of each pair"
OVER_SOURCES_ONLY = "this metric has intervals only for means over several sources"


def _nothing() -> None:
    return None


@dataclass(frozen=True, eq=False)
class Part:
    """A metric on one shift with one seed."""

    value: float | None
    missing: str = ""
    """Why there is no value, or no interval."""
    clusters: int = 0
    """Number of distinct prompts."""
    draw: Callable[[], Floats | None] = _nothing
    """Returns the value in each resample of the prompts, shape (RESAMPLES,); None if it is unknown."""
    find_interval: Callable[[], Interval | None] = _nothing

    @cached_property
    def interval(self) -> Interval | None:
        """Computed on first use, because means over shifts do not need it."""
        return self.find_interval()


Known = dict[int, Part]
"""A cache of accuracies by the id of their evaluation, because several interventions share some."""


def _gap(reading: Reading) -> str:
    """Why the evaluation cannot be resampled; empty if it can."""
    if not reading.evaluation.eval_probabilities:
        return NO_PROBABILITIES
    values = reading.pair_values
    return NO_EXAMPLES if values is None else too_few_clusters(values.clusters.size)


def accuracy_part(reading: Reading | None, known: Known) -> Part:
    if reading is None:
        return Part(None, missing=NO_EVALUATION)
    key = id(reading.evaluation)
    if key not in known:
        known[key] = _accuracy(reading)
    return known[key]


def _accuracy(reading: Reading) -> Part:
    accuracy, values = reading.evaluation.eval_accuracy, reading.pair_values
    if values is None or values.clusters.size < FEWEST_CLUSTERS:
        return Part(accuracy, missing=_gap(reading))

    def draw() -> Floats:
        return values.drawn("accuracy")

    return Part(
        accuracy,
        "",
        values.clusters.size,
        draw,
        lambda: interval_of_scores(values.sums("accuracy"), draw=draw),
    )


def _elicitation(shift: ShiftReading, _: Known) -> Part:
    value = shift.row.differential_elicitation
    if value is None:
        absent = {"generalization_accuracy", "baseline_accuracy", "target_tuned_capability"}.intersection(shift.missing)
        why = f"there is no {', '.join(sorted(absent))}" if absent else "the target-tuned capability is 0"
        return Part(None, missing=why)
    for each in (shift.generalization, shift.baseline):
        if each is not None and (gap := _gap(each)):
            return Part(value, missing=gap)
    drawn = _drawn_elicitation(shift)
    if drawn is None:
        return Part(value, missing="resampled capabilities reach 0")
    assert shift.generalization is not None
    assert shift.generalization.pair_values is not None
    clusters = shift.generalization.pair_values.clusters.size

    def draw() -> Floats | None:
        return _drawn_elicitation(shift)  # again, to limit memory

    def interval() -> Interval | None:
        found = draw()
        return None if found is None else percentile_interval(found, clusters, OVER_PROMPTS)

    if np.ptp(drawn) < ROUNDING:
        return Part(value, NO_VARIATION, clusters, draw)
    return Part(value, "", clusters, draw, interval)


def _drawn_elicitation(shift: ShiftReading) -> Floats | None:
    """resampled_elicitation, from the resamples of the three accuracies where they were tested on the same prompts."""
    readings = (shift.generalization, shift.baseline, shift.capability)
    generalization, baseline, capability = (None if each is None else each.pair_values for each in readings)
    assert generalization is not None
    assert baseline is not None
    on_target = capability is not None and shift.shift.target == shift.shift.target_reference
    together = [generalization, baseline, *([capability] if capability is not None and on_target else [])]
    if not all(np.array_equal(each.clusters, generalization.clusters) for each in together):
        # If only the value of the capability is known, it is constant: near 1 it varies least of the three.
        number = np.array([shift.row.target_tuned_capability or 0.0])
        known = capability.sums("accuracy") if capability else ClusterSums(np.array([0]), number, np.ones(1))
        sums = (generalization.sums("accuracy"), baseline.sums("accuracy"), known)
        return resampled_elicitation(*sums, on_target, RESAMPLES)
    below: Floats | float = shift.row.target_tuned_capability or 0.0
    if capability is not None:
        below = capability.drawn("accuracy") if on_target else capability.drawn_again()
    if np.any(np.equal(below, 0)):
        return None
    drawn: Floats = (generalization.drawn("accuracy") - baseline.drawn("accuracy")) / below
    return drawn


def _calibration(shift: ShiftReading, _: Known) -> Part:
    """The calibration error by confidence, recomputed from probabilities if the file stores another formula."""
    if shift.generalization is None:
        return Part(None, missing=NO_EVALUATION)
    p, values = shift.generalization.evaluation.eval_probabilities, shift.generalization.pair_values
    if not p:
        stored = shift.row.RMS_calibration_error if shift.row.RMS_calibration_formula == FORMULA else None
        return Part(stored, missing=NO_PROBABILITIES)
    if values is None:
        return Part(rms_calibration_error(p), missing=NO_EXAMPLES)
    gap = _gap(shift.generalization)
    if gap:
        return Part(values.calibration_error, missing=gap)
    return Part(
        values.calibration_error,
        clusters=values.clusters.size,
        draw=values.drawn_calibration_errors,
        find_interval=lambda: calibration_interval(values.p, values.labels),
    )


def _calibrated(shift: ShiftReading, _: Known) -> Part:
    p = shift.generalization.evaluation.eval_probabilities if shift.generalization else None
    if shift.generalization is None or not p:
        return Part(None, missing=NO_PROBABILITIES)
    if is_constant_half(p):
        return Part(None, missing="all probabilities are 1/2")
    values = shift.generalization.pair_values
    labels = None if values is None else values.labels
    return Part(calibration_error_of_calibrated(p, labels, draws=CALIBRATED_DRAWS))


def _of_pairs(name: str, value: Callable[[Floats], float]) -> Callable[[ShiftReading, Known], Part]:
    """A metric of the generalization's probabilities. With an interval if it is a mean over pairs."""

    def part(shift: ShiftReading, _: Known) -> Part:
        if shift.generalization is None:
            return Part(None, missing=NO_EVALUATION)
        p, values = shift.generalization.evaluation.eval_probabilities, shift.generalization.pair_values
        if not p:
            return Part(None, missing=NO_PROBABILITIES)
        found = value(np.array(p) if values is None else values.p)
        gap = _gap(shift.generalization) if name in EACH_PAIR else OVER_SOURCES_ONLY
        if values is None or gap:
            return Part(found, missing=gap)
        return Part(
            found,
            NO_VARIATION if values.sums(name).same_everywhere else "",
            values.clusters.size,
            lambda: values.drawn(name),
            lambda: bootstrap_interval(values.sums(name), values.drawn(name)),
        )

    return part


def _published_calibration(shift: ShiftReading, _: Known) -> Part:
    if shift.row.RMS_calibration_formula == "published":
        return Part(shift.row.RMS_calibration_error, missing=OVER_SOURCES_ONLY)
    p = shift.generalization.evaluation.eval_probabilities if shift.generalization else None
    value = rms_calibration_error_published(p) if p else None
    return Part(value, missing=OVER_SOURCES_ONLY if value is not None else "it cannot be computed from the evaluation")


def _stored(name: str) -> Callable[[ShiftReading, Known], Part]:
    """A value that the generalization's evaluation contains."""

    def part(shift: ShiftReading, _: Known) -> Part:
        value = getattr(shift.generalization.evaluation, name) if shift.generalization else None
        return Part(value, missing=OVER_SOURCES_ONLY if value is not None else "the evaluation does not contain it")

    return part


PARTS: dict[str, Callable[[ShiftReading, Known], Part]] = {
    "generalization_accuracy": lambda shift, known: accuracy_part(shift.generalization, known),
    "differential_elicitation": _elicitation,
    "source_ID_accuracy": lambda shift, known: accuracy_part(shift.source_id, known),
    "RMS_calibration_error": _calibration,
    "RMS_calibration_error_if_calibrated": _calibrated,
    "target_tuned_capability": lambda shift, known: accuracy_part(shift.capability, known),
    "baseline_source_accuracy": lambda shift, known: accuracy_part(shift.baseline_source, known),
    "baseline_accuracy": lambda shift, known: accuracy_part(shift.baseline, known),
    **{
        name: _of_pairs(name, of)
        for name, of in (("brier_score", brier_score), ("log_loss", log_loss), ("auroc", auroc), ("margin", margin))
    },
    "RMS_calibration_error_published": _published_calibration,
    **{
        name: _stored(f"eval_{name}")
        for name in ("best_of_n_accuracy", "easy_accuracy", "normal_accuracy", "hard_accuracy", "ties_score")
    },
}
"""By the name of the metric."""
