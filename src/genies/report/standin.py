"""Stand-in for genies.metrics.verdict until it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genies.metrics.comparison import compare, holm, sign_flip_p_value
from genies.metrics.intervals import Interval
from genies.metrics.resampling import ExampleSums
from genies.metrics.shift_means import ShiftFigure, by_sample, interval_over_shifts, mean_over_shifts


@dataclass(frozen=True)
class Difference:
    value: float
    interval: Interval | None
    p_value: float | None
    test: str
    about: str
    n_sources: int
    n_shifts: int
    n_clusters: int
    adjusted_p_value: float | None = None
    first_only: int = 0
    second_only: int = 0
    left_out: int = 0

    @property
    def verdict(self) -> Literal["higher", "lower", "not significant", "unknown"]:
        p = self.p_value if self.adjusted_p_value is None else self.adjusted_p_value
        if p is None:
            return "unknown"
        if p >= 0.05:
            return "not significant"
        return "higher" if self.value > 0 else "lower"


def difference_on_shift(first: ExampleSums, second: ExampleSums) -> Difference:
    found = compare(first, second)
    if found is None:  # pragma: no cover
        raise AssertionError
    return Difference(
        found.difference,
        found.interval,
        found.p_value,
        found.test,
        "this shift",
        1,
        1,
        found.examples,
        None,
        found.first_only,
        found.second_only,
        0,
    )


def difference_over_shifts(figures: Sequence[ShiftFigure]) -> Difference:
    merged = by_sample(figures)
    p = sign_flip_p_value([each.mean * each.weight for each in merged])
    return Difference(
        mean_over_shifts(figures),
        interval_over_shifts(figures),
        p,
        "sign-flip over shifts",
        "other shifts",
        len(merged),
        len(figures),
        0,
    )


def adjust(differences: Sequence[Difference | None]) -> list[Difference | None]:
    known = [n for n, each in enumerate(differences) if each is not None and each.p_value is not None]
    adjusted = dict(zip(known, holm([differences[n].p_value for n in known]), strict=True))
    return [
        None if each is None else replace(each, adjusted_p_value=adjusted.get(n)) for n, each in enumerate(differences)
    ]
