"""Why a job failed, and the failures of a run as text, each reason once."""

from __future__ import annotations

import errno
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from genies.errors import BAD_INPUT, InputError, describe_os_error
from genies.harness.job import Job
from genies.harness.order import Result
from genies.harness.store import Store
from genies.processes.process import Outcome, last_lines
from genies.quantities import counted

OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory", re.IGNORECASE)
OUT_OF_DISK = re.compile(r"No space left on device|Disk quota exceeded|File too large")
"""Both are searched in the last lines of a log."""

_NO_ROOM = 1 << 14
"""Free bytes on the disk of a failed script's log below which the script may have been unable to log the reason."""

_VALUE = re.compile(r", got .*")
"""The values of a message, which are ignored when faults are compared."""
_REFUSAL = re.compile(r"^, distributions? .*?: evaluation .*?\.json(.*)$", re.MULTILINE)
_LOG = re.compile(r"\n  log: .*")


def failed(result: Result, job: Job, outcome: Outcome, log: Path, store: Store) -> Result:
    """The result of a job whose script failed."""
    lines = last_lines(log)
    said = "".join(f"\n  | {line}" for line in lines)
    out_of_memory = outcome.returncode == -signal.SIGKILL or any(OUT_OF_MEMORY.search(line) for line in lines)
    out_of_disk = any(OUT_OF_DISK.search(line) for line in lines)
    free = shutil.disk_usage(log.parent).free
    if free < _NO_ROOM or (out_of_disk and free < 1 << 20):
        raise OSError(errno.ENOSPC, "the disk is full", str(log))
    by_itself = not (outcome.timed_out or outcome.cancelled)
    from_outside = outcome.returncode < 0 or outcome.error is not None or out_of_memory or out_of_disk
    return replace(
        result,
        failure=f"{job.title}: {job.script.name} {outcome.describe()}\n  log: {store.shown(log)}{said}",
        bad_input=by_itself and (outcome.returncode == BAD_INPUT or out_of_disk),
        infrastructure=by_itself and from_outside,
        out_of_memory=by_itself and out_of_memory,
        cancelled=outcome.cancelled,
    )


def fault_of_files(title: str, error: InputError | OSError) -> Result:
    """The result of a job whose files could not be read or written; raises `error` again if the disk is full."""
    if isinstance(error, InputError):
        return Result(title, failure=f"{title}: {error}", infrastructure=True)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise error
    failure = f"{title}: {describe_os_error(error) or error}"
    return Result(title, failure=failure, infrastructure=True, bad_input=True)


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


def _reason(result: Result) -> str:
    """Why a job failed, without its title and log, and without the names and values of its evaluations."""
    reason = _LOG.sub("", (result.failure or "").replace(f"{result.title}: ", "")).replace(result.title, "")
    return _REFUSAL.sub(lambda found: _VALUE.sub("", found[1]), reason)


def _indented(same: Sequence[Result]) -> str:
    text = (same[0].failure or "").replace("\n", "\n  ")
    more = f"\n  and {counted(len(same) - 1, 'more job')} for the same reason" if len(same) > 1 else ""
    return text + more
