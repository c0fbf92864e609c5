"""Metrics on one shift with one seed: the value, the interval, and the value in each resample of test prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genies.contract import Evaluation
from genies.data.evaluated import cluster_labels
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
from genies.metrics.calibration import CONFIDENCE_BINS, FORMULA, log_losses
from genies.metrics.calibration_interval import calibration_interval, resampled_calibration_errors
from genies.metrics.elicitation import resampled_elicitation
from genies.metrics.intervals import OVER_PROMPTS, Interval, accuracy_interval, mean_interval, percentile_interval
from genies.metrics.pairs import scores
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import (
    FEWEST_CLUSTERS,
    ClusterSums,
    resample_weights,
    resampled_means,
    sums_by_cluster,
    too_few_clusters,
)
from genies.metrics.shift_means import NO_VARIATION, ROUNDING
from genies.report.study import Reading, ShiftReading

RESAMPLES = 2_000

CALIBRATED_DRAWS = 30
"""Number of simulations of a calibrated scorer for each evaluation, enough for two decimals of the mean."""

NO_EVALUATION = "there is no evaluation"
NO_PROBABILITIES = "the evaluation contains no probabilities"
NO_EXAMPLES = "the evaluation does not contain the example of each pair"
OVER_SOURCES_ONLY = "this metric has intervals only for means over several sources"


@dataclass(frozen=True, eq=False)
class Part:
    """A metric on one shift with one seed."""

    value: float | None
    interval: Interval | None = None
    drawn: Floats | None = None
    """The value in each resample of the prompts, shape (RESAMPLES,)."""
    clusters: int = 0
    """Number of distinct prompts."""
    missing: str = ""
    """Why there is no value, or no interval."""


Known = dict[int, Part]
"""A cache of accuracies by the id of their evaluation, because several interventions share some."""


def cluster_scores(reading: Reading | None) -> ClusterSums | None:
    """The scores of an evaluation's pairs summed by prompt; None if it does not contain probabilities or clusters."""
    if reading is None or not reading.evaluation.eval_probabilities:
        return None
    labels = cluster_labels(reading.evaluation)
    return None if labels is None else sums_by_cluster(scores(reading.evaluation.eval_probabilities), labels)


def _gap(evaluation: Evaluation) -> str:
    """Why the evaluation cannot be resampled; empty if it can."""
    labels = cluster_labels(evaluation)
    if not evaluation.eval_probabilities:
        return NO_PROBABILITIES
    return NO_EXAMPLES if labels is None else too_few_clusters(len(set(labels)))


def accuracy_part(reading: Reading | None, known: Known) -> Part:
    if reading is None:
        return Part(None, missing=NO_EVALUATION)
    key = id(reading.evaluation)
    if key not in known:
        known[key] = _accuracy(reading)
    return known[key]


def _accuracy(reading: Reading) -> Part:
    evaluation, part = reading.evaluation, cluster_scores(reading)
    labels, p = cluster_labels(evaluation), evaluation.eval_probabilities
    if part is None or p is None or labels is None or part.sums.size < FEWEST_CLUSTERS:
        return Part(evaluation.eval_accuracy, missing=_gap(evaluation))
    drawn = resampled_means(part, resample_weights(part.sums.size, RESAMPLES, 0))
    return Part(evaluation.eval_accuracy, accuracy_interval(p, labels, RESAMPLES), drawn, part.sums.size)


def _elicitation(shift: ShiftReading, _: Known) -> Part:
    value = shift.row.differential_elicitation
    if value is None:
        absent = {"generalization_accuracy", "baseline_accuracy", "target_tuned_capability"}.intersection(shift.missing)
        why = f"there is no {', '.join(sorted(absent))}" if absent else "the target-tuned capability is 0"
        return Part(None, missing=why)
    for each in (shift.generalization, shift.baseline):
        if each is not None and (gap := _gap(each.evaluation)):
            return Part(value, missing=gap)
    parts = [cluster_scores(each) for each in (shift.generalization, shift.baseline, shift.capability)]
    generalization, baseline, capability = parts
    assert generalization is not None
    assert baseline is not None
    on_target = shift.shift.target == shift.shift.target_reference
    if capability is None:
        # If only the value of the capability is known, it is constant: near 1 it varies least of the three.
        number = np.array([shift.row.target_tuned_capability or 0.0])
        capability, on_target = ClusterSums(np.array([0]), number, np.ones(1)), False
    drawn = resampled_elicitation(generalization, baseline, capability, on_target, RESAMPLES)
    if drawn is None:
        return Part(value, missing="resampled capabilities reach 0")
    clusters = generalization.sums.size
    if np.ptp(drawn) < ROUNDING:
        return Part(value, missing=NO_VARIATION, drawn=drawn, clusters=clusters)
    return Part(value, percentile_interval(drawn, clusters, OVER_PROMPTS), drawn, clusters)


def _calibration(shift: ShiftReading, _: Known) -> Part:
    """The calibration error by confidence, recomputed from probabilities if the file stores another formula."""
    if shift.generalization is None:
        return Part(None, missing=NO_EVALUATION)
    evaluation = shift.generalization.evaluation
    p, labels = evaluation.eval_probabilities, cluster_labels(evaluation)
    if not p:
        stored = shift.row.RMS_calibration_error if shift.row.RMS_calibration_formula == FORMULA else None
        return Part(stored, missing=NO_PROBABILITIES)
    if labels is None:
        return Part(rms_calibration_error(p), missing=NO_EXAMPLES)
    value, drawn = resampled_calibration_errors(p, labels, CONFIDENCE_BINS, RESAMPLES, 0)
    if drawn is None:
        return Part(value, missing=_gap(evaluation))
    # Resampling adds noise to the error; remove it, because a mean over shifts is about the observed values.
    without_noise = np.sqrt(np.maximum(drawn**2 - (np.mean(drawn**2) - value**2), 0))
    return Part(value, calibration_interval(p, labels), without_noise, len(set(labels)))


def _calibrated(shift: ShiftReading, _: Known) -> Part:
    p = shift.generalization.evaluation.eval_probabilities if shift.generalization else None
    if shift.generalization is None or not p:
        return Part(None, missing=NO_PROBABILITIES)
    if is_constant_half(p):
        return Part(None, missing="all probabilities are 1/2")
    labels = cluster_labels(shift.generalization.evaluation)
    return Part(calibration_error_of_calibrated(p, labels, draws=CALIBRATED_DRAWS))


def _of_pairs(
    value: Callable[[list[float]], float], each_pair: Callable[[Floats], Floats] | None
) -> Callable[[ShiftReading, Known], Part]:
    """A metric of the generalization's probabilities. If it is a mean over pairs, `each_pair` returns their values."""

    def part(shift: ShiftReading, _: Known) -> Part:
        if shift.generalization is None:
            return Part(None, missing=NO_EVALUATION)
        evaluation = shift.generalization.evaluation
        p, labels = evaluation.eval_probabilities, cluster_labels(evaluation)
        if not p:
            return Part(None, missing=NO_PROBABILITIES)
        gap = OVER_SOURCES_ONLY if each_pair is None else _gap(evaluation)
        if labels is None or each_pair is None or gap:
            return Part(value(p), missing=gap)
        values = each_pair(np.array(p))
        sums = sums_by_cluster(values, labels)
        drawn = resampled_means(sums, resample_weights(sums.sums.size, RESAMPLES, 0))
        interval = mean_interval(values, labels, RESAMPLES)
        return Part(value(p), interval, drawn, sums.sums.size, "" if interval else NO_VARIATION)

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
    "baseline_accuracy": lambda shift, known: accuracy_part(shift.baseline, known),
    "brier_score": _of_pairs(brier_score, lambda p: (1 - p) ** 2),
    "log_loss": _of_pairs(log_loss, log_losses),
    "auroc": _of_pairs(auroc, None),
    "margin": _of_pairs(margin, lambda p: 2 * p - 1),
    "RMS_calibration_error_published": _published_calibration,
    **{
        name: _stored(f"eval_{name}")
        for name in ("best_of_n_accuracy", "easy_accuracy", "normal_accuracy", "hard_accuracy", "ties_score")
    },
}
"""By the name of the metric."""
