"""The table of generalization metrics: a pure function of the plan's rows and their evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from genies import markdown, spreadsheets
from genies.contract import Evaluation
from genies.data.shifts import Shift
from genies.harness.leaks import Leaks, Remainder
from genies.harness.plan import Plan, Row
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
    baseline_source_accuracy: float | None = None
    """The baseline intervention on the untuned base model, tested on source; optional."""
    baseline_reference_accuracy: float | None = None
    """The baseline intervention on the untuned base model, tested on target_reference; optional."""


LEAKED = "leaked_pairs"
COLUMNS = [column.name for column in fields(TableRow) if column.name != LEAKED]


def make_table(
    rows: Sequence[Row], plan: Plan, evaluations: Mapping[Path, Evaluation], leaks: Leaks | None = None
) -> list[TableRow]:
    """A row for each of `rows`, in their order; a metric without its evaluation is None.

    With `leaks`, test examples are excluded that leak from the train split that the model was tuned on; for the
    baseline on the target, those that leak from the source.
    """
    return [_table_row(row, plan, evaluations, leaks) for row in rows]


def _table_row(row: Row, plan: Plan, evaluations: Mapping[Path, Evaluation], leaks: Leaks | None) -> TableRow:
    def rest(path: Path | None, trained_on: str, optional: bool = False) -> Remainder:
        evaluation = None if path is None else evaluations.get(path)
        if path is None or evaluation is None or leaks is None or not trained_on:
            return Remainder(evaluation, None)
        name = f"{path.parent.parent.name}, {path.parent.name}, on {path.stem}"
        return leaks.remainder(evaluation, trained_on, path.stem, name, optional)

    shift = row.shift
    generalization = rest(row.generalization, shift.source)
    references = {name: rest(path, shift.target_reference).evaluation for name, path in row.capability.items()}
    capability_intervention, capability = best_reference(references, plan.capability_intervention)
    made = table_row(
        shift,
        base_model=row.model,
        intervention=row.intervention,
        seed=row.seed,
        baseline_intervention=plan.baseline_intervention,
        capability_intervention=capability_intervention,
        generalization=generalization.evaluation,
        source_id=rest(row.source_id, shift.source).evaluation,
        baseline=rest(row.baseline, shift.source).evaluation,
        capability=capability,
        baseline_source=rest(row.baseline_source, shift.source, optional=True).evaluation,
        baseline_reference=rest(row.baseline_reference, shift.target_reference, optional=True).evaluation,
    )
    return replace(made, leaked_pairs=generalization.left_out)


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


def to_csv(rows: Sequence[TableRow], leaked: bool = False) -> str:
    """Comma-separated values with a header line. Missing values are empty fields; numbers are the shortest text that is
    read as the same number.

    leaked: with the column leaked_pairs, for a table without leaked examples.
    """
    columns = [*COLUMNS, LEAKED] if leaked else COLUMNS
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
    return markdown.escaped(f"{row.source} > {row.target}{reference}{seed}" if row.source else f"{row.target}{seed}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def shifts_with_holes(rows: Sequence[TableRow]) -> list[TableRow]:
    """Rows without one of the four accuracies, or, without a source, without the only one."""
    needed = ("generalization_accuracy", "baseline_accuracy", "target_tuned_capability", "source_ID_accuracy")
    return [row for row in rows if any(getattr(row, name) is None for name in (needed if row.source else needed[:1]))]


def not_learned(rows: Sequence[TableRow]) -> str | None:
    """A sentence about runs whose differential elicitation means little; None if none is known.

    These are tuned models that are not more accurate than the untuned model on their own source, and references that
    are not more accurate than the baseline on their target_reference. The baseline as an intervention is left out, and
    so is an intervention that gives every pair 1/2, such as random.
    """
    sources: dict[tuple[object, ...], _Comparison] = {}
    references: dict[tuple[object, ...], _Comparison] = {}
    for row in rows:
        seed = "" if row.seed is None else f", seed {row.seed}"
        if row.source and row.intervention != row.baseline_intervention and not _prefers_nothing(row):
            name = f"{row.intervention} on {row.source}{seed}"
            found = _compared(name, row.source_ID_accuracy, row.baseline_source_accuracy)
            if found:
                sources[row.base_model, row.intervention, row.source, row.seed] = found
        reference = row.target_tuned_capability_intervention
        if reference != row.baseline_intervention:
            name = f"{reference} on {row.target_reference}"
            found = _compared(name, row.target_tuned_capability, row.baseline_reference_accuracy)
            if found:
                references[row.base_model, reference, row.target_reference, row.target_tuned_capability] = found
    parts = [
        _worst(sources.values(), "tuned model", "more accurate than the untuned one on {} own source"),
        _worst(references.values(), "reference", "more accurate than the baseline on {} target_reference"),
    ]
    said = " and ".join(part for part in parts if part)
    return f"{said}: differential elicitation means little there" if said else None


def _prefers_nothing(row: TableRow) -> bool:
    """Whether every probability is 1/2: only then are accuracy and confidence exactly 1/2 in all bins."""
    half = row.generalization_accuracy == row.source_ID_accuracy == 0.5
    return half and row.RMS_calibration_formula == FORMULA and row.RMS_calibration_error == 0


@dataclass(frozen=True)
class _Comparison:
    name: str
    tuned: float
    untuned: float


def _compared(name: str, tuned: float | None, untuned: float | None) -> _Comparison | None:
    return None if tuned is None or untuned is None else _Comparison(name, tuned, untuned)


_NAMED = 3


def _worst(compared: Iterable[_Comparison], noun: str, claim: str) -> str | None:
    """How many did not gain from tuning, with the names of those that lost most; None if all gained."""
    every = list(compared)
    lost = sorted((each for each in every if each.tuned <= each.untuned), key=lambda each: each.tuned - each.untuned)
    if not lost:
        return None
    names = ", ".join(f"{each.name}: {each.tuned:.3f} against {each.untuned:.3f}" for each in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    verb, its = ("is", "its") if len(lost) == 1 else ("are", "their")
    plural = "" if len(every) == 1 else "s"
    return f"{len(lost)} of {len(every)} {noun}{plural} {verb} not {claim.format(its)} ({names}{more})"


def mixed_formats(evaluations: Iterable[tuple[str, Evaluation]]) -> list[str]:
    """A message for each base model whose evaluations, given as (base model, evaluation), differ in number format or in
    prompt format."""
    formats: dict[tuple[str, str], Counter[str]] = {}
    for base_model, evaluation in evaluations:
        for kind, name in (("number", evaluation.dtype), ("prompt", evaluation.prompt_format)):
            if name is not None:
                formats.setdefault((base_model, kind), Counter())[name] += 1
    return [
        f"{base_model}: evaluations in different {kind} formats are compared "
        f"({', '.join(f'{name} {count}' for name, count in sorted(counts.items()))})"
        for (base_model, kind), counts in formats.items()
        if len(counts) > 1
    ]
