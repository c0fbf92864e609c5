"""The failures of a run as text, each reason once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from genies.errors import InputError
from genies.harness.order import Result

OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory", re.IGNORECASE)
OUT_OF_DISK = re.compile(r"No space left on device|Disk quota exceeded|File too large")
"""Both are searched in the last lines of a log."""

_VALUE = re.compile(r", got .*")
"""The values of a message, which are ignored when faults are compared."""
_REFUSAL = re.compile(r"^, distributions? .*?: evaluation .*?\.json(.*)$", re.MULTILINE)
_LOG = re.compile(r"\n  log: .*")


def refusals(title: str, refused: Mapping[Path, InputError]) -> str:
    """A line for each fault of evaluations, with their distributions."""
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
    """The message for inputs of a job that changed before it ran, or while `script` ran."""
    names = ", ".join(changed)
    if not script:
        return f"changed since the run was planned, or replaced by another run: {names}; run the same command again"
    if any(name.endswith("(gone)") for name in changed):
        return f"after {script} ran, its inputs no longer exist: {names}; a script must not change what it reads"
    if not {"intervention_files", "code"}.isdisjoint(changed):
        return f"files of the intervention's folder changed while {script} ran ({names}); write only to --output_dir"
    return f"changed while {script} ran: {names}; do not change inputs during a run, and run the same command again"


def absent_model(folder: str) -> str:
    return (
        f"model folder {folder} does not exist; expected a base model (download_model_from_hf.py downloads one) "
        "or a tuned model (api/train.py makes one)"
    )


class Failures:
    """The failed jobs of a run, in the order in which they failed."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self._by_reason: dict[str, list[Result]] = {}

    def add(self, result: Result) -> bool:
        """Add a failed job; returns whether its reason is new."""
        same = self._by_reason.setdefault(_reason(result), [])
        same.append(result)
        self.results.append(result)
        return len(same) == 1

    @property
    def bad_input(self) -> bool:
        """Whether any job had bad input."""
        return any(result.bad_input for result in self.results)

    def lines(self) -> list[str]:
        """Each reason as a list item, with the first job that failed for it and the number of others."""
        return [f"- {_indented(same)}" for same in self._by_reason.values()]


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "job"), counted(2, "job")
    ('1 job', '2 jobs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _reason(result: Result) -> str:
    """Why a job failed, without its title and log, and without the names and values of its evaluations."""
    reason = _LOG.sub("", (result.failure or "").replace(f"{result.title}: ", "")).replace(result.title, "")
    return _REFUSAL.sub(lambda found: _VALUE.sub("", found[1]), reason)


def _indented(same: Sequence[Result]) -> str:
    text = (same[0].failure or "").replace("\n", "\n  ")
    more = f"\n  and {counted(len(same) - 1, 'more job')} for the same reason" if len(same) > 1 else ""
    return text + more
