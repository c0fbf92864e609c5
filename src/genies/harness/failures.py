"""What went wrong in a run, in words, each reason once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from genies.errors import InputError
from genies.harness.order import Result

OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory", re.IGNORECASE)
OUT_OF_DISK = re.compile(r"No space left on device|Disk quota exceeded|File too large")
"""In the last lines of a log."""

_VALUE = re.compile(r", got .*")
_REFUSAL = re.compile(r"^, distributions? .*?: evaluation .*?\.json(.*)$", re.MULTILINE)
_LOG = re.compile(r"\n  log: .*")


def refusals(title: str, refused: Mapping[Path, InputError]) -> str:
    """A line for each fault that evaluations have, with the distributions whose evaluations have it."""
    alike: dict[str, list[Path]] = {}
    for output, error in refused.items():
        alike.setdefault(_VALUE.sub("", str(error).replace(str(output), "")), []).append(output)
    lines = []
    for outputs in alike.values():
        names = [output.name.removesuffix(".json") for output in outputs]
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        lines.append(f"{title}, distribution{'s' if len(names) > 1 else ''} {listed}: {refused[outputs[0]]}")
    return "\n".join(lines)


def outdated(changed: Sequence[str], script: str = "") -> str:
    """What to do when parts of a job changed: before it ran, or while `script` ran."""
    names = ", ".join(changed)
    if not script:
        return f"changed since the run was planned, or replaced by another run: {names}; run the same command again"
    if any(name.endswith("(gone)") for name in changed):
        return f"{script} ran, and what it was given is no longer there: {names}; a step must leave alone what it reads"
    if not {"intervention_files", "code"}.isdisjoint(changed):
        return (
            f"files of the intervention's folder changed while {script} ran ({names}); write under --output_dir alone"
        )
    return f"changed while {script} ran: {names}; leave what a step reads alone, and run the same command again"


def absent_model(folder: str) -> str:
    return (
        f"model folder {folder} does not exist; expected a base model, which download_model_from_hf.py fetches, "
        "or a tuned one, which api/train.py makes"
    )


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
    return _REFUSAL.sub(lambda found: _VALUE.sub("", found[1]), reason)


def _indented(same: Sequence[Result]) -> str:
    text = (same[0].failure or "").replace("\n", "\n  ")
    more = f"\n  and {counted(len(same) - 1, 'more step')} for the same reason" if len(same) > 1 else ""
    return text + more
