"""The metrics of one shift, from its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from genies.data.shifts import Shift
from genies.evaluation_file import Evaluation
from genies.metrics import differential_elicitation, rms_calibration_error
from genies.metrics.calibration import FORMULA


@dataclass(frozen=True)
class TableRow:
    """The metrics of one shift, in the order of the CSV columns; None is a missing value."""

    source: str
    target: str
    target_reference: str
    generalization_accuracy: float | None
    """Tuned on source, tested on target."""
    baseline_accuracy: float | None
    """The baseline intervention on the untuned base model, tested on target."""
    baseline_intervention: str
    target_tuned_capability: float | None
    """The reference intervention, tuned and tested on target_reference."""
    target_tuned_capability_intervention: str
    source_ID_accuracy: float | None
    """Tuned on source, tested on source."""
    RMS_calibration_error: float | None
    """Of the evaluation behind generalization_accuracy."""
    differential_elicitation: float | None
    """(generalization_accuracy - baseline_accuracy) / target_tuned_capability."""
    RMS_calibration_formula: str | None
    """confidence: genies.metrics.rms_calibration_error; published: the value stored by the 2023 release; weighted: the
    stored value of an evaluation from before 2026-11-26 without probabilities."""
    label: str | None
    category: str | None
    pairs: int | None
    """Number of pairs of the evaluation behind generalization_accuracy, if it contains probabilities."""
    seed: int | None
    intervention: str
    base_model: str
    leaked_pairs: int | None = None
    """Number of pairs excluded from generalization_accuracy because the model was tuned on their prompt; a column only
    of tables that exclude them."""
    uses_target_texts: bool | None = None
    """Whether the method used unlabelled texts of the target; a column only of tables with such a row."""
    baseline_source_accuracy: float | None = None
    """The baseline intervention on the untuned base model, tested on source; optional."""
    baseline_reference_accuracy: float | None = None
    """The baseline intervention on the untuned base model, tested on target_reference; optional."""


LEAKED, TARGET_TEXTS = "leaked_pairs", "uses_target_texts"
COLUMNS = [column.name for column in fields(TableRow) if column.name not in (LEAKED, TARGET_TEXTS)]


def best_reference(references: Mapping[str, Evaluation | None], unknown: str) -> tuple[str, Evaluation | None]:
    """The name of the most accurate reference intervention and its evaluation; of equal ones the first.

    (`unknown`, None) if any of them has no evaluation.
    """
    known = {name: evaluation for name, evaluation in references.items() if evaluation is not None}
    if not known or len(known) < len(references):
        return unknown, None
    best = max(known, key=lambda name: known[name].eval_accuracy)
    return best, known[best]


def table_row(
    shift: Shift,
    *,
    base_model: str,
    intervention: str,
    seed: int | None,
    baseline_intervention: str,
    capability_intervention: str,
    generalization: Evaluation | None,
    source_id: Evaluation | None,
    baseline: Evaluation | None,
    capability: Evaluation | None,
    baseline_source: Evaluation | None = None,
    baseline_reference: Evaluation | None = None,
) -> TableRow:
    """The metrics of one shift from its four evaluations and two optional ones; a missing evaluation is None."""

    def accuracy(evaluation: Evaluation | None) -> float | None:
        return None if evaluation is None else evaluation.eval_accuracy

    error, formula = calibration(generalization) if generalization else (None, None)
    elicitation = None
    if generalization is not None and baseline is not None and capability is not None:
        elicitation = differential_elicitation(
            generalization.eval_accuracy, baseline.eval_accuracy, capability.eval_accuracy
        )
    probabilities = generalization.eval_probabilities if generalization else None
    return TableRow(
        source=shift.source,
        target=shift.target,
        target_reference=shift.target_reference,
        generalization_accuracy=accuracy(generalization),
        baseline_accuracy=accuracy(baseline),
        baseline_intervention=baseline_intervention,
        target_tuned_capability=accuracy(capability),
        target_tuned_capability_intervention=capability_intervention,
        source_ID_accuracy=accuracy(source_id),
        RMS_calibration_error=error,
        differential_elicitation=elicitation,
        RMS_calibration_formula=formula,
        label=shift.label,
        category=shift.category,
        pairs=len(probabilities) if probabilities else None,
        seed=seed,
        intervention=intervention,
        base_model=base_model,
        uses_target_texts=generalization.uses_target_texts if generalization else None,
        baseline_source_accuracy=accuracy(baseline_source),
        baseline_reference_accuracy=accuracy(baseline_reference),
    )


def calibration(evaluation: Evaluation) -> tuple[float | None, str | None]:
    """RMS calibration error of an evaluation and the name of its formula.

    Files of the 2023 release, which have neither provenance nor a formula nor the published value under its own key,
    keep their stored value, as "published". All other values are computed from the probabilities, so that a table
    contains one formula; without probabilities, the stored value is returned with the name of its formula.
    """
    stored, formula = evaluation.eval_rms_calibration_error, evaluation.eval_rms_calibration_formula
    ours = evaluation.provenance is not None or evaluation.eval_rms_calibration_error_published is not None
    if stored is not None and formula is None and not ours:
        return stored, "published"
    if evaluation.eval_probabilities:
        return rms_calibration_error(evaluation.eval_probabilities), FORMULA
    return stored, None if stored is None else formula or "weighted"


def shifts_with_holes(rows: Sequence[TableRow]) -> list[TableRow]:
    """Rows without one of the four accuracies, or, without a source, without the only one."""
    needed = ("generalization_accuracy", "baseline_accuracy", "target_tuned_capability", "source_ID_accuracy")
    return [row for row in rows if any(getattr(row, name) is None for name in (needed if row.source else needed[:1]))]
