"""What went wrong in a run, each reason once: a base model that is not there fails every step that needs it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genies.harness.refusals import without_names
from genies.harness.step import Result

_LOG = re.compile(r"\n  log: .*")


class Failures:
    """The failed steps of a run, in the order in which they failed."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self._by_reason: dict[str, list[Result]] = {}

    def add(self, result: Result) -> bool:
        """Keep a failed step; whether its reason is a new one."""
        same = self._by_reason.setdefault(_reason(result), [])
        same.append(result)
        self.results.append(result)
        return len(same) == 1

    @property
    def bad_input(self) -> bool:
        """Whether the input of any step was at fault."""
        return any(result.bad_input for result in self.results)

    def lines(self) -> list[str]:
        """Each reason as an item of a list, with the first step it failed and how many more."""
        return [f"- {_indented(same)}" for same in self._by_reason.values()]


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _reason(result: Result) -> str:
    """Why a step failed, without its own name and log, and without the names and figures of its evaluations."""
    reason = _LOG.sub("", (result.failure or "").replace(f"{result.title}: ", "")).replace(result.title, "")
    return without_names(reason)


def _indented(same: Sequence[Result]) -> str:
    text = (same[0].failure or "").replace("\n", "\n  ")
    more = f"\n  and {counted(len(same) - 1, 'more step')} for the same reason" if len(same) > 1 else ""
    return text + more
