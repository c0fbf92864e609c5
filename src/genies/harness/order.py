"""What crosses to where a job runs, and what comes back: an Order and a Result, both as one line of JSON.

A thread, a cluster's worker and a line of a batch script all take the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from pydantic import TypeAdapter

from genies.contract import Evaluation
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.harness.decide import Check
from genies.harness.job import Job
from genies.harness.store import Store


@dataclass(frozen=True)
class Settings:
    """How jobs are run."""

    store: Store
    timeout: float | None = None
    """Seconds a job may take."""
    verbose: bool = False
    """Show the output of the scripts as it comes."""
    fresh: bool = False
    """Never take over what another run finished meanwhile: the user asked for nothing to be reused."""
    skip_failed: bool = False
    """Do not try again what failed with the same inputs before."""
    protect: bool = True
    """Close to a job, where the system allows it, what it is given and what others have made."""
    threads: int | None = None
    """Processor threads for a job (default: all cores)."""
    processes: int = 1
    """Processes that train one model together, for a train.py that is written for it."""


@dataclass(frozen=True)
class Place:
    """Where a job runs: what differs from one slot to the next."""

    hashes: FileHashes
    cancel_fd: int | None = None
    """Becomes readable when the job is to be ended."""
    slots: SimpleQueue[str | None] | None = None
    """The free slots of this machine, each with the one GPU that its jobs see, as CUDA_VISIBLE_DEVICES names it, or
    None for all of them. A job takes one only while its process runs (default: it need not wait for any)."""

    @contextmanager
    def slot(self) -> Iterator[str | None]:
        """Wait for a slot and keep it: everything before and after belongs outside."""
        gpu = None if self.slots is None else self.slots.get()
        try:
            yield gpu
        finally:
            if self.slots is not None:
                self.slots.put(gpu)


@dataclass(frozen=True)
class Result:
    """How a job went."""

    title: str
    seconds: float = 0.0
    failure: str | None = None
    """What went wrong, where to look and what the log says last; None when all is well."""
    bad_input: bool = False
    """The job was given something it cannot work with, as its exit status 2 or an absent base model says."""
    infrastructure: bool = False
    """It failed for a reason outside of it, as a signal or a lack of memory: another attempt may succeed."""
    outdated: bool = False
    """What it was planned from has changed meanwhile: it takes a new plan, not another attempt."""
    out_of_memory: bool = False
    cancelled: bool = False
    started: bool = False
    """A process was started for it."""
    done: dict[Path, Evaluation] = field(default_factory=dict)
    """The evaluations that this job answers with, by their files."""


@dataclass(frozen=True)
class Order:
    """One job to run, what must be made of it, and how."""

    check: Check
    settings: Settings

    @property
    def job(self) -> Job:
        return self.check.job


@cache  # made when first needed: it takes a while
def _orders() -> TypeAdapter[Order]:
    return TypeAdapter(Order)


@cache
def _results() -> TypeAdapter[Result]:
    return TypeAdapter(Result)


def order_to_json(order: Order) -> str:
    """The order as one line of JSON."""
    return _orders().dump_json(order).decode()


def order_from_json(text: str) -> Order:
    """The order in a text that order_to_json made; InputError for any other."""
    try:
        return _orders().validate_json(text)
    except ValueError as error:
        raise InputError(f"that is not a step that --emit_commands wrote: {str(error)[:200]}") from None


def result_to_json(result: Result) -> str:
    return _results().dump_json(result).decode()


def result_from_json(text: str) -> Result:
    return _results().validate_json(text)
