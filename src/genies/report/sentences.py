"""The content of a page's opening sentences: the best intervention, and those from which it differs or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genies.metrics.intervals import Interval
from genies.report.figures import MAIN
from genies.report.verdicts import Verdict

CHANCE = 0.5


@dataclass(frozen=True)
class Contender:
    """An intervention in the opening sentences."""

    name: str
    accuracy: float
    interval: Interval | None
    verdict: Verdict
    baseline: float | None
    capability: float | None
    capability_intervention: str
    is_rival: bool
    """Whether it can be the best; the baseline and a constant 1/2 cannot."""


@dataclass(frozen=True)
class Lead:
    """The content of the opening sentences about one base model."""

    shown: Contender
    """The best intervention, or the only one."""
    alone: bool
    """Whether there is no other intervention with which to compare it."""
    above: bool
    """Whether its accuracy is above the baseline's, significantly or not."""
    guessing: bool
    """Whether its accuracy is at most 1/2, that of a guess."""
    alike: list[str]
    """The interventions that are not significantly different from it."""
    worse: int
    """Number of interventions that are significantly different from it."""
    unknown: list[str]
    """The interventions that could not be compared with it."""
    left_out: list[str]
    """The interventions with missing evaluations."""

    @property
    def all_alike(self) -> bool:
        return len(self.alike) > 3 and self.worse == 0 and not self.unknown

    @property
    def marked(self) -> bool:
        """Whether it is the best by the verdict; otherwise the sentences do not mention the others."""
        return self.shown.verdict.mark(MAIN.name).standing == "best"


def lead(contenders: Sequence[Contender], left_out: Sequence[str] = ()) -> Lead | None:
    """The content of the sentences about the interventions of one base model; None if there are none.

    left_out: names of interventions that are not included because evaluations are missing.
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
        shown.accuracy <= CHANCE,
        [each.name for each in rivals if marks[each.name] == "not different"],
        sum(marks[each.name] == "different" for each in rivals),
        [each.name for each in rivals if best is not None and marks[each.name] == "unknown"],
        list(left_out),
    )
