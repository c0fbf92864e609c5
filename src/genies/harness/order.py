"""The input and output of a launcher, an Order and a Result, each as one line of JSON.

Threads, cluster workers and batch scripts use the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from pydantic import TypeAdapter

from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.file_hashes import FileHashes
from genies.harness.decide import Check
from genies.harness.job import Job
from genies.harness.store import Store
from genies.processes.preload import Preloaded


@dataclass(frozen=True)
class Settings:
    """How jobs are run."""

    store: Store
    timeout: float | None = None
    """Seconds a job may take."""
    verbose: bool = False
    """Show the output of the scripts as they run."""
    fresh: bool = False
    """Do not use results that another run has finished meanwhile: the user requested that nothing is reused."""
    skip_failed: bool = False
    """Do not run jobs again that failed before with the same inputs."""
    protect: bool = True
    """Mount the job's inputs and other jobs' outputs read-only, where the system allows it."""
    threads: int | None = None
    """CPU threads of a job (default: all cores)."""
    processes: int = 1
    """Processes that train one model together, for a train.py that supports it."""


@dataclass(frozen=True)
class Place:
    """Where a job runs: what differs between slots."""

    hashes: FileHashes
    cancel_fd: int | None = None
    """Becomes readable to end the job."""
    slots: SimpleQueue[str | None] | None = None
    """The free slots of this machine, each with the GPU that its jobs see, as a value of CUDA_VISIBLE_DEVICES, or None
    for all GPUs. A job takes a slot only while its process runs (default: it does not wait for a slot)."""
    preloaded: Callable[[Order], Preloaded | None] = lambda order: None
    """The process from which a job is forked; None: its interpreter is started."""

    @contextmanager
    def slot(self) -> Iterator[str | None]:
        """Wait for a slot, take it, and return it at the end."""
        gpu = None if self.slots is None else self.slots.get()
        try:
            yield gpu
        finally:
            if self.slots is not None:
                self.slots.put(gpu)


@dataclass(frozen=True)
class Result:
    """The outcome of a job."""

    title: str
    seconds: float = 0.0
    failure: str | None = None
    """The failure, the log file and its last lines; None if the job succeeded."""
    bad_input: bool = False
    """The job had bad input: its script exited with status 2, or its model is missing, for example."""
    infrastructure: bool = False
    """The failure has an external cause, such as a signal or too little memory: another attempt may succeed."""
    outdated: bool = False
    """The job's inputs changed after it was planned: it needs a new plan, not another attempt."""
    out_of_memory: bool = False
    cancelled: bool = False
    started: bool = False
    """A process was started for it."""
    done: dict[Path, Evaluation] = field(default_factory=dict)
    """The evaluations of the job, by file."""


@dataclass(frozen=True)
class Order:
    """One job to run, which of its outputs to make, and how."""

    check: Check
    settings: Settings

    @property
    def job(self) -> Job:
        return self.check.job


@cache  # slow to build, so built when first needed
def _orders() -> TypeAdapter[Order]:
    return TypeAdapter(Order)


@cache
def _results() -> TypeAdapter[Result]:
    return TypeAdapter(Result)


def order_to_json(order: Order) -> str:
    """The order as one line of JSON."""
    return _orders().dump_json(order).decode()


def order_from_json(text: str) -> Order:
    """The order in the output of order_to_json; InputError for other text."""
    try:
        return _orders().validate_json(text)
    except ValueError as error:
        raise InputError(f"expected a job that --emit_commands wrote: {str(error)[:200]}") from None


def result_to_json(result: Result) -> str:
    return _results().dump_json(result).decode()


def result_from_json(text: str) -> Result:
    return _results().validate_json(text)
