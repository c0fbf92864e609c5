"""The sentences that open a page: which intervention is best, and what it does and does not differ from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genies.metrics.intervals import Interval
from genies.report.figures import MAIN
from genies.report.verdicts import Verdict


@dataclass(frozen=True)
class Contender:
    """An intervention as the sentences see it."""

    name: str
    accuracy: float
    interval: Interval | None
    verdict: Verdict
    baseline: float | None
    capability: float | None
    capability_intervention: str
    is_rival: bool
    """Whether it may be called the best: the baseline and a constant 1/2 may not."""


@dataclass(frozen=True)
class Lead:
    """What the opening sentences say about one base model."""

    shown: Contender
    """The best intervention, or the only thing there is."""
    alone: bool
    """Whether there is no other intervention to compare it with."""
    above: bool
    """Whether its accuracy is above the baseline's; whether significantly so, its verdict says."""
    alike: list[str]
    """The interventions that are not significantly different from it."""
    worse: int
    """How many differ from it significantly."""
    unknown: list[str]
    """Those that could not be compared with it."""
    left_out: list[str]
    """Those that lack evaluations."""

    @property
    def all_alike(self) -> bool:
        return len(self.alike) > 3 and self.worse == 0 and not self.unknown

    @property
    def marked(self) -> bool:
        """Whether it is the best by the verdict; else nothing is said of the others."""
        return self.shown.verdict.mark(MAIN.name).standing == "best"


def lead(contenders: Sequence[Contender], left_out: Sequence[str] = ()) -> Lead | None:
    """What to say about the interventions of one base model; None where there is none.

    left_out: the names of interventions that are not among them since they lack evaluations.
    """
    if not contenders:
        return None
    rivals = [each for each in contenders if each.is_rival]
    marks = {each.name: each.verdict.mark(MAIN.name).standing for each in contenders}
    best = next((each for each in rivals if marks[each.name] == "best"), None)
    shown = best or max(rivals or contenders, key=lambda each: each.accuracy)
    return Lead(
        shown,
        len(rivals) < 2,
        shown.baseline is None or shown.accuracy > shown.baseline,
        [each.name for each in rivals if marks[each.name] == "not different"],
        sum(marks[each.name] == "different" for each in rivals),
        [each.name for each in rivals if best is not None and marks[each.name] == "unknown"],
        list(left_out),
    )
