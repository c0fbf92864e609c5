"""What the numbers of a table cannot mean, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from genies.evaluation_file import Evaluation
from genies.metrics.calibration import FORMULA
from genies.table.rows import TableRow


def not_learned(rows: Sequence[TableRow], untuned: Collection[str] = ()) -> str | None:
    """A sentence about runs whose differential elicitation means little; None if none is known.

    These are tuned models that are not more accurate than the untuned model on their own source, and references that
    are not more accurate than the baseline on their target_reference. The baseline as an intervention is left out, and
    so are an intervention that gives every pair 1/2, such as random, and those that tune nothing (`untuned`).
    """
    sources: dict[tuple[object, ...], _Comparison] = {}
    references: dict[tuple[object, ...], _Comparison] = {}
    for row in rows:
        seed = "" if row.seed is None else f", seed {row.seed}"
        tuned = row.source and row.intervention not in (row.baseline_intervention, *untuned)
        if tuned and not _prefers_nothing(row):
            name = f"{row.intervention} on {row.source}{seed}"
            found = _compared(name, row.source_ID_accuracy, row.baseline_source_accuracy)
            if found:
                sources[row.base_model, row.intervention, row.source, row.seed] = found
        reference = row.target_tuned_capability_intervention
        if reference not in (row.baseline_intervention, *untuned):
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


def assumed(evaluations: Iterable[Evaluation]) -> list[str]:
    """What interventions assumed about models, such as their prompt format: each assumption once."""
    counts = Counter(each for evaluation in evaluations for each in dict.fromkeys(evaluation.assumptions or []))
    return [f"assumed in {count} evaluation{'s' if count > 1 else ''}: {each}" for each, count in counts.items()]
