"""Compare two interventions, or one and the baseline, on the common test examples of one shift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from genies.data.evaluated import without_examples
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ClusterSums
from genies.metrics.shift_means import ShiftFigure
from genies.metrics.verdict import Difference, difference_on_shift
from genies.report.example_scores import ExampleScores
from genies.report.figures import BASELINE, BASELINE_SOURCE, MAIN, SOURCE, Metric, figure
from genies.report.lines import ExampleSets, ShiftSummary
from genies.report.study import Reading, ShiftReading


def cell_difference(first: Iterable[Reading | None], second: Iterable[Reading | None]) -> Difference | None:
    """The accuracy of the first minus that of the second on one target, paired by prompt.

    first, second: one evaluation for each seed. Only examples in all evaluations are compared; `left_out` counts the
    others. None if an evaluation does not contain the example of each pair, or if no example is in all of them.
    """
    sides = [
        [None if reading is None else reading.example_scores for reading in readings] for readings in (first, second)
    ]
    known = [each for side in sides for each in side if each is not None]
    if not all(sides) or len(known) < sum(map(len, sides)):
        return None
    if all(each.same_examples(known[0]) for each in known):
        return difference_on_shift(*(_seed_mean(tuple(each for each in side if each is not None)) for side in sides))
    sets = [each.examples for each in known]
    common = np.array(sorted(example for example, _ in set.intersection(*sets)), dtype=np.int64)
    if common.size == 0:
        return None
    one, two = (_seed_mean(tuple(each.over(common) for each in side if each is not None)) for side in sides)
    left_out = len({example for each in sets for example, _ in each}) - common.size
    return replace(difference_on_shift(one, two), left_out=left_out)


@lru_cache(maxsize=4_096)
def _seed_mean(parts: tuple[ExampleScores, ...]) -> ClusterSums:
    """Scores by prompt, averaged over seeds with the same examples. Cached, because each is compared with many."""
    mean = np.mean([each.sums.sums for each in parts], axis=0)
    clusters, places = np.unique(parts[0].clusters, return_inverse=True)
    sums, pairs = (np.bincount(places, each).astype(np.float64) for each in (mean, parts[0].sums.pairs))
    return ClusterSums(clusters, sums, pairs)


def over_baseline(line: ShiftSummary) -> tuple[ShiftFigure | None, int]:
    """Generalization accuracy minus the baseline's on the common examples, and the number of excluded examples."""
    if not line.is_comparable:
        return None, 0
    common, left_out = _common(line.target_examples | line.baseline_examples)
    if common is None:
        ours, theirs = line.shift_figure(MAIN.name), line.shift_figure(BASELINE.name)
    else:
        reduced = [_on_target(each, common) for each in line.readings]
        ours, theirs = (figure(each, reduced).shift_figure() for each in (MAIN, BASELINE))
    if ours is None or theirs is None:
        return None, left_out
    return replace(minus(ours, theirs, same_seeds=True), weight=line.weight), left_out


def source_gain(line: ShiftSummary) -> ShiftFigure | None:
    """Accuracy on the source minus the untuned model's there; None if one is unknown or they have other examples."""
    readings = [(each.source_id, each.baseline_source) for each in line.readings]
    tested = {None if reading is None else _tested_on(reading) for pair in readings for reading in pair}
    if line.is_baseline or len(tested) != 1 or None in tested:
        return None
    ours, theirs = (line.shift_figure(each.name) for each in (SOURCE, BASELINE_SOURCE))
    if ours is None or theirs is None:
        return None
    return replace(minus(ours, theirs, same_seeds=True), weight=line.weight)


def _tested_on(reading: Reading) -> tuple[int, ...] | int | None:
    """The examples of an evaluation, or the number of its pairs if it does not name them."""
    indices, p = reading.evaluation.eval_example_indices, reading.evaluation.eval_probabilities
    return tuple(indices) if indices else len(p) if p else None


def over_other(metric: Metric, first: ShiftSummary, second: ShiftSummary) -> tuple[ShiftFigure | None, int]:
    """A metric of the first minus that of the second on the common examples, and the number of excluded examples."""
    if not (first.is_comparable and second.is_comparable):
        return None, 0
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
            found.append(figure(metric, [reduce(each, common) for each in line.readings]).shift_figure())
    ours, theirs = found
    if ours is None or theirs is None:
        return None, left_out
    return replace(minus(ours, theirs, same_seeds=first.seeds == second.seeds), weight=first.weight), left_out


def minus(first: ShiftFigure, second: ShiftFigure, same_seeds: bool) -> ShiftFigure:
    """The difference of two values with the same resamples of prompts.

    Seeds are paired if both have the same. A single seed is compared with each seed of the other. Otherwise the means
    over seeds are compared.
    """
    seed_by_seed = same_seeds or 1 in (first.estimates.size, second.estimates.size)

    def part(values: Floats) -> Floats:
        return values if seed_by_seed else values.mean(axis=0, keepdims=True)

    drawn = None
    if first.drawn is not None and second.drawn is not None:
        drawn = part(first.drawn) - part(second.drawn)
    low, high = (one - other for one, other in zip(first.bounds, second.bounds[::-1], strict=True))
    return replace(
        first,
        estimates=part(first.estimates) - part(second.estimates),
        drawn=drawn,
        clusters=min(first.clusters, second.clusters),
        model=second.model
        if first.model == ""
        else first.model,  # for an untuned model, the other one determines the source
        bounds=(low, high),
    )


def _common(sets: ExampleSets) -> tuple[frozenset[int] | None, int]:
    """The examples in all sets, and the number of those in only some; None if all are equal or one is unknown."""
    known = [each for each in sets if each is not None]
    if len(sets) < 2 or len(known) < len(sets):
        return None, 0
    common = frozenset.intersection(*known)
    return (common, len(frozenset.union(*known)) - len(common)) if common else (None, 0)


def _on_target(shift: ShiftReading, kept: frozenset[int]) -> ShiftReading:
    return _with(shift, generalization=_only(shift.generalization, kept), baseline=_only(shift.baseline, kept))


def _on_source(shift: ShiftReading, kept: frozenset[int]) -> ShiftReading:
    return _with(shift, source_id=_only(shift.source_id, kept))


def _with(shift: ShiftReading, **changed: Reading | None) -> ShiftReading:
    """The shift with some evaluations replaced, and its table row recomputed."""
    names = ("generalization", "source_id", "baseline", "capability", "baseline_source", "baseline_reference")
    return shift.with_evaluations(*(changed.get(name, getattr(shift, name)) for name in names))


def _only(reading: Reading | None, kept: frozenset[int]) -> Reading | None:
    indices = None if reading is None else reading.evaluation.eval_example_indices
    if reading is None or indices is None or kept.issuperset(indices):
        return reading
    left_out = frozenset(indices) - kept
    reduced = without_examples(reading.evaluation, indices, left_out, "not tested on by all that are compared")
    return replace(reading, evaluation=reduced)
