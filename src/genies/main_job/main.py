"""The main job: plan, check, run the jobs that must run, keep the table up to date, and report the result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from genies.data.shifts import repeats
from genies.errors import BAD_INPUT, INTERRUPTED, InputError, termination_as_interrupt
from genies.evaluation_file import Evaluation
from genies.file_hashes import FileHashes
from genies.folders import normal
from genies.harness.failures import Failures
from genies.harness.inputs import check_locks
from genies.harness.launchers import Launcher
from genies.harness.launchers.local import LocalLauncher
from genies.harness.order import Order, Result
from genies.harness.schedule import Task, run_tasks, tasks
from genies.harness.state import remembered_failure
from genies.harness.store import Store
from genies.main_job.conclusion import conclude, doubts
from genies.main_job.dry_run import describe
from genies.main_job.emitting import write_commands
from genies.main_job.fitting import Room
from genies.main_job.request import MetricsRequest
from genies.main_job.run import Run
from genies.main_job.tables import check_names_of_tables, check_tables
from genies.processes.hardware import UNKNOWN, Hardware, all_hidden, gpu_memory, main_memory, this_machine
from genies.processes.process import available_cores
from genies.table.rows import TableRow

Told = Callable[[int, int, int, Sequence[str]], None]
"""Called with the number of jobs, of those that ended well and that failed, and the titles of the running ones."""


def compute_generalization_metrics(request: MetricsRequest, root: Path, told: Told | None = None) -> int:
    """Run the main job and return its exit status: 0, 1 if a job failed, 2 if one had bad input.

    told: is called whenever a job starts or ends.
    """
    plan = request.plan(root)
    for line in [*(f"error: {fault}" for fault in plan.faults.values()), *plan.notes]:
        print(line, file=sys.stderr)
    if again := repeats(request.shifts):
        print(f"{len(again)} shifts are listed twice; the mean counts each once", file=sys.stderr)
    run, status = Run.of(request, root, plan, hardware(request)), 0
    if request.dry_run:
        check_names_of_tables(run.tables)
        print(description(run))
    else:
        run.hashes.save()
        if request.emit_commands is not None:
            waiting = tasks(run.checks)
            write_commands(normal(request.emit_commands), waiting, request.settings(root))
            print(f"wrote {len(waiting)} jobs to {request.emit_commands}, one per line; nothing was run")
        else:
            carry_out_plan(run, told=told)
            status = conclude(run)
    return BAD_INPUT if plan.faults else status


def measure(request: MetricsRequest, root: Path, write_table: bool, quiet: bool = True) -> Measured:
    """Run the main job and print nothing; the table of its evaluations, whether all steps succeeded or not.

    With `write_table` the tables are written as well; without `quiet`, failures and a progress bar are shown.
    Raises InputError for what the command refuses, and for a variant whose arguments are at fault.
    """
    plan = request.plan(root)
    if plan.faults:
        raise InputError("; ".join(plan.faults.values()))
    run = Run.of(request, root, plan, hardware(request), write_table)
    run.hashes.save()
    carry_out_plan(run, quiet)
    rows = run.table()
    said = [*plan.notes, *doubts(run, rows), *(run.leaks.holes if run.leaks else [])]
    return Measured(rows, said, run.failures, run.evaluations)


@dataclass(frozen=True)
class Measured:
    """What the main job found."""

    rows: list[TableRow]
    doubts: list[str]
    """What the numbers cannot mean, a sentence each."""
    failures: Failures
    evaluations: dict[Path, Evaluation]
    """By their files."""


def description(run: Run) -> str:
    """What the run would do."""
    request, settings = run.request, run.request.settings(run.root)
    orders = {number: Order(check, settings) for number, check in enumerate(run.checks) if check.run}
    failed = {number for number, order in orders.items() if not request.retry_failed and remembered_failure(order)}
    return describe(run.checks, failed, run.store, request.jobs_at_once, room(request))


def carry_out_plan(run: Run, quiet: bool = False, told: Told | None = None) -> None:
    """Run what must run, and keep the tables true all along.

    quiet: print nothing; Ctrl-C is a KeyboardInterrupt, also the second time.
    """
    request, waiting = run.request, tasks(run.checks)
    run.exclude_leaked()
    check_tables(run.tables)
    check_locks(run.checks, run.store)
    launcher = make_launcher(request, run.hashes, run.store)
    cores = available_cores() // launcher.slots if request.launcher == "local" else request.cpus_per_step
    settings = replace(request.settings(run.root), threads=max(1, cores), skip_failed=not request.retry_failed)
    try:
        with termination_as_interrupt(), _Bar([] if quiet else waiting) as bar:
            keeping = _KeepingTables(run)
            counts = {"done": 0, "failed": 0}

            def running(titles: Sequence[str]) -> None:
                bar.running(titles)
                if told is not None:
                    told(len(waiting), counts["done"], counts["failed"], titles)

            def ended(task: Task, result: Result) -> None:
                new = run.add(result)
                counts["done" if result.failure is None else "failed"] += 1
                bar.ended(result, new and not quiet)
                keeping.note(set(result.done))

            run_tasks(waiting, settings, launcher if quiet else _Patient(launcher), ended, running)
    except KeyboardInterrupt:
        run.write_tables()
        raise
    finally:
        run.hashes.save()
    run.write_tables()


class _KeepingTables:
    """Writes the tables as evaluations finish, but pauses for `_PAUSE` times as long as the last write took: large
    tables must not delay the jobs."""

    _PAUSE = 20

    def __init__(self, run: Run) -> None:
        self._run, self._new, self._next = run, set[Path](), 0.0

    def note(self, done: set[Path]) -> None:
        self._new |= done
        begun = time.monotonic()
        if self._new and begun >= self._next:
            self._run.write_tables(self._new)
            self._new = set()
            self._next = time.monotonic() + self._PAUSE * (time.monotonic() - begun)


class _Bar(tqdm):  # type: ignore[type-arg]
    """The progress bar: finished jobs, the estimated time of the others, and the running jobs."""

    monitor_interval = 0  # no monitor thread: the system may refuse to start one more

    def __init__(self, waiting: Sequence[Task]) -> None:
        super().__init__(total=len(waiting), desc="jobs", unit="job", disable=not waiting, dynamic_ncols=True)

    def running(self, titles: Sequence[str]) -> None:
        self.set_postfix_str("; ".join(titles), refresh=True)

    def ended(self, result: Result, new: bool) -> None:
        if not result.cancelled or result.done:
            self.update()
        if new:
            self.write(f"FAILED {result.failure}", file=sys.stderr)


class _Patient:
    """A launcher whose close waits for the jobs, unless Ctrl-C is pressed again."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.slots = launcher.slots

    def submit(self, order: str) -> Future[str]:
        return self._launcher.submit(order)

    def close(self, cancel: bool) -> None:
        if cancel:
            print("stopping the running jobs; press Ctrl-C again to exit without waiting", file=sys.stderr)
        try:
            self._launcher.close(cancel)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)  # the jobs' supervisors notice and end the jobs


def hardware(request: MetricsRequest) -> Hardware:
    """The hardware of the jobs of a request; unknown if other machines run them."""
    if request.emit_commands is not None or request.gpus_per_step:
        return UNKNOWN
    return this_machine(hidden=request.launcher == "ray" or (not request.gpus and all_hidden(os.environ)))


def room(request: MetricsRequest) -> Room:
    """The memory that the jobs of a request get."""
    found, elsewhere = hardware(request), request.launcher == "ray"
    return Room(
        UNKNOWN if elsewhere and request.gpus_per_step else found,
        None if elsewhere or request.emit_commands is not None else main_memory(),
        gpu_memory() if found.gpu else None,
        sharing=request.jobs_at_once,
        on_each_gpu=1 if request.gpus else request.slots,
        processes=request.processes_per_step,
    )


def make_launcher(request: MetricsRequest, hashes: FileHashes, store: Store) -> Launcher:
    """The launcher that a request names."""
    if request.launcher == "ray":
        from genies.harness.launchers.ray import RayLauncher

        return RayLauncher(request.ray_address, request.cpus_per_step, request.gpus_per_step, store)
    return LocalLauncher(request.slots, request.gpus, hashes, request.preload, request.processes_per_step)
