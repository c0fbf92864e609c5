"""Two interventions on one shift, or one and the baseline, on the test examples that both were tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from genies.data.evaluated import without_examples
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ExampleSums
from genies.metrics.shift_means import ShiftFigure
from genies.report.figures import BASELINE, MAIN, Metric, example_scores, figure
from genies.report.lines import ExampleSets, ShiftSummary
from genies.report.standin import Difference, difference_on_shift
from genies.report.study import Reading, ShiftReading


def cell_difference(first: Iterable[Reading | None], second: Iterable[Reading | None]) -> Difference | None:
    """The first minus the second in accuracy on one target, paired by example; an item of each is a seed.

    None where an evaluation does not list its pairs by example, and where no example is common to both.
    """
    ours, theirs = _scores(first), _scores(second)
    if ours is None or theirs is None:
        return None
    return difference_on_shift(ours, theirs)


def _scores(readings: Iterable[Reading | None]) -> ExampleSums | None:
    """Scores by example, mean over seeds, on the examples that all seeds have; None where one does not tell."""
    parts = [example_scores(reading) for reading in readings]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    known = _on_common_examples(known)
    if not known[0].sums.size:
        return None
    return replace(known[0], sums=np.mean([each.sums for each in known], axis=0))


def _on_common_examples(parts: Sequence[ExampleSums]) -> list[ExampleSums]:
    """The same sums over the examples that all of them have with as many pairs."""
    common = set.intersection(*(set(zip(each.examples.tolist(), each.pairs.tolist(), strict=True)) for each in parts))
    kept = np.array(sorted(example for example, _ in common), dtype=np.int64)
    if all(each.examples.size == kept.size for each in parts):
        return list(parts)
    found = []
    for each in parts:
        places = np.isin(each.examples, kept)
        found.append(ExampleSums(each.examples[places], each.sums[places], each.pairs[places]))
    return found


def over_baseline(line: ShiftSummary) -> tuple[ShiftFigure | None, int]:
    """Generalization accuracy minus the baseline's on the examples of both, and how many examples were left out."""
    common, left_out = _common(line.target_examples | line.baseline_examples)
    if common is None:
        ours, theirs = line.shift_figure(MAIN.name), line.shift_figure(BASELINE.name)
    else:
        reduced = [_on_target(each, common) for each in line.readings]
        ours, theirs = (figure(each, reduced).figure for each in (MAIN, BASELINE))
    if ours is None or theirs is None:
        return None, left_out
    return replace(minus(ours, theirs, same_seeds=True), weight=line.weight), left_out


def over_other(metric: Metric, first: ShiftSummary, second: ShiftSummary) -> tuple[ShiftFigure | None, int]:
    """A metric of the first minus that of the second on the examples of both, and how many examples were left out."""
    on_source = metric.name == "source_ID_accuracy"
    if on_source:
        sets = first.source_examples | second.source_examples
    else:
        sets = first.target_examples | second.target_examples
    common, left_out = _common(sets)
    found = []
    for line in (first, second):
        if common is None:
            found.append(line.shift_figure(metric.name))
        else:
            reduce = _on_source if on_source else _on_target
            found.append(figure(metric, [reduce(each, common) for each in line.readings]).figure)
    ours, theirs = found
    if ours is None or theirs is None:
        return None, left_out
    return replace(minus(ours, theirs, same_seeds=first.seeds == second.seeds), weight=first.weight), left_out


def minus(first: ShiftFigure, second: ShiftFigure, same_seeds: bool) -> ShiftFigure:
    """The difference of two figures on the same draws of examples: seed by seed, or between means over seeds."""
    same_seeds = same_seeds and first.estimates.size == second.estimates.size

    def part(values: Floats) -> Floats:
        return values if same_seeds else values.mean(axis=0, keepdims=True)

    drawn = None
    if first.drawn is not None and second.drawn is not None:
        drawn = part(first.drawn) - part(second.drawn)
    return replace(first, estimates=part(first.estimates) - part(second.estimates), drawn=drawn)


def _common(sets: ExampleSets) -> tuple[frozenset[int] | None, int]:
    """The examples in all sets and how many are in some only; None where all are alike or one is not known."""
    known = [each for each in sets if each is not None]
    if len(sets) < 2 or len(known) < len(sets):
        return None, 0
    common = frozenset.intersection(*known)
    return (common, len(frozenset.union(*known)) - len(common)) if common else (None, 0)


def _on_target(shift: ShiftReading, kept: frozenset[int]) -> ShiftReading:
    return shift.with_evaluations(
        _only(shift.generalization, kept), shift.source_id, _only(shift.baseline, kept), shift.capability
    )


def _on_source(shift: ShiftReading, kept: frozenset[int]) -> ShiftReading:
    return shift.with_evaluations(shift.generalization, _only(shift.source_id, kept), shift.baseline, shift.capability)


def _only(reading: Reading | None, kept: frozenset[int]) -> Reading | None:
    indices = None if reading is None else reading.evaluation.eval_example_indices
    if reading is None or indices is None or kept.issuperset(indices):
        return reading
    left_out = frozenset(indices) - kept
    reduced = without_examples(reading.evaluation, indices, left_out, "not tested on by all that are compared")
    return replace(reading, evaluation=reduced)
