"""One intervention on one shift, over all seeds: the input of all tables, pages and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from genies.data.shifts import Shift
from genies.metrics import is_constant_half
from genies.metrics.shift_means import ShiftFigure
from genies.report.figures import BY_NAME, Estimate, MetricFigure, figure
from genies.report.parts import Known
from genies.report.study import Reading, ShiftReading

ExampleSets = frozenset[frozenset[int] | None]
"""The distinct sets of test examples of some evaluations; None for an evaluation without example indices."""


TARGET_TEXTS_MARK = "‡"


def marked(intervention: str, uses_target_texts: bool) -> str:
    """The name of an intervention, with a mark if it used unlabelled texts of the target."""
    return f"{intervention} {TARGET_TEXTS_MARK}" if uses_target_texts else intervention


@dataclass(frozen=True)
class ShiftSummary:
    """One intervention on one shift, over all seeds."""

    shift: Shift
    base_model: str
    intervention: str
    readings: list[ShiftReading]
    """One for each seed."""
    of: Callable[[str], MetricFigure]
    """Returns the figure of a metric, which is computed on first use."""
    listed: int
    """How often a table lists the shift."""
    weight: float
    """Weight of the shift in a mean."""
    pairs: int | None
    """Number of test pairs on the target; None if the evaluation does not contain probabilities."""
    examples: int | None
    ties: int | None
    left_out: int | None
    """Number of pairs excluded because their prompt is in the train split; None unless requested."""
    is_baseline: bool
    """Whether this is the untuned model with which the others are compared."""
    is_constant_half: bool
    """Whether all pairs have a probability of 1/2, as with `random`."""

    @property
    def target_examples(self) -> ExampleSets:
        return _examples(each.generalization for each in self.readings)

    @property
    def source_examples(self) -> ExampleSets:
        return _examples(each.source_id for each in self.readings)

    @property
    def baseline_examples(self) -> ExampleSets:
        return _examples(each.baseline for each in self.readings)

    @property
    def key(self) -> tuple[str, str]:
        return self.base_model, self.intervention

    @property
    def is_comparable(self) -> bool:
        """Whether the accuracies on the target are those of pairs, so that they can be compared with others."""
        return all(each.generalization is None or each.generalization.comparable for each in self.readings)

    @property
    def uses_target_texts(self) -> bool:
        """Whether the method used unlabelled texts of the target."""
        return any(each.row.uses_target_texts for each in self.readings)

    @property
    def name(self) -> str:
        """The intervention, marked if it used unlabelled texts of the target."""
        return marked(self.intervention, self.uses_target_texts)

    @property
    def seeds(self) -> list[int | None]:
        return [each.seed for each in self.readings]

    @property
    def complete(self) -> bool:
        """Whether all seeds have all four accuracies."""
        return not any(reading.missing for reading in self.readings)

    def value(self, metric: str) -> float | None:
        return self.of(metric).value

    def estimate(self, metric: str) -> Estimate:
        return self.of(metric).estimate

    def shift_figure(self, metric: str, drawn: bool = True) -> ShiftFigure | None:
        return self.of(metric).shift_figure(drawn)


def shift_summaries(shifts: Iterable[ShiftReading], counted_once: bool) -> list[ShiftSummary]:
    """A summary for each base model, intervention and shift, in order, with weight 1 or the number of listings."""
    together: dict[tuple[str, str, Shift], list[ShiftReading]] = {}
    for each in shifts:
        together.setdefault((each.base_model, each.intervention, each.shift), []).append(each)
    known: Known = {}
    for seeds in together.values():  # tables may list them in different orders
        seeds.sort(key=lambda each: -1 if each.seed is None else each.seed)
    return [_summary(seeds, known, counted_once) for seeds in together.values()]


def _summary(seeds: list[ShiftReading], known: Known, counted_once: bool) -> ShiftSummary:
    first = seeds[0]
    evaluations = [each.generalization.evaluation for each in seeds if each.generalization is not None]
    listed = [each.eval_probabilities for each in evaluations if each.eval_probabilities]
    indices = next((each.eval_example_indices for each in evaluations if each.eval_example_indices), None)
    complete = len(listed) == len(seeds)
    times = max(each.listed for each in seeds)
    weight = 1.0 if counted_once else float(times)
    return ShiftSummary(
        shift=first.shift,
        base_model=first.base_model,
        intervention=first.intervention,
        readings=seeds,
        of=cache(lambda name: figure(BY_NAME[name], seeds, known, weight)),
        listed=times,
        weight=weight,
        pairs=max(map(len, listed)) if complete else None,
        examples=len(set(indices)) if indices else None,
        ties=sum(p.count(0.5) for p in listed) if complete else None,
        left_out=first.row.leaked_pairs,
        is_baseline=first.is_baseline,
        is_constant_half=complete and all(map(is_constant_half, listed)),
    )


def _examples(readings: Iterable[Reading | None]) -> ExampleSets:
    found = [reading.evaluation.eval_example_indices for reading in readings if reading is not None]
    return frozenset(None if indices is None else _example_set(tuple(indices)) for indices in found)


@lru_cache(maxsize=1_024)
def _example_set(indices: tuple[int, ...]) -> frozenset[int]:
    """One set for all evaluations on the same examples, which are most of those on a target."""
    return frozenset(indices)
