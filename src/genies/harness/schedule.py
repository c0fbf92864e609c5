"""The order of jobs: dependencies first, then the longest remaining chain. Jobs that read the same text do not run at
the same time while there is other work, so that the second one finds the first one's cached activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from genies.harness.decide import Check
from genies.harness.job import Job
from genies.harness.launchers import Launcher
from genies.harness.order import Order, Result, Settings, order_to_json, result_from_json
from genies.harness.state import remembered_failure


@dataclass(frozen=True)
class Task:
    """A job that must run, its position in the plan, and the task that it depends on."""

    number: int
    check: Check
    needs: int | None
    reads: dict[Path, int]
    """The data files it reads, with their sizes in bytes as an estimate of its work."""

    @property
    def weight(self) -> int:
        return sum(self.reads.values())


def tasks(checks: Sequence[Check]) -> list[Task]:
    """The jobs that must run, in plan order; an evaluation depends on the training of its model, if that runs."""
    numbers = {check.job.key: number for number, check in enumerate(checks) if check.run}
    waiting = [check.reduced() for check in checks if check.run]
    return [
        Task(numbers[check.job.key], check, numbers.get(check.job.needs or ""), _reads(check.job)) for check in waiting
    ]


def _reads(job: Job) -> dict[Path, int]:
    split = "train.json" if job.role == "train" else "test.json"
    files = [folder / split for folder in job.distributions.values()]
    return {file: file.stat().st_size for file in files if file.exists()}


def in_order(waiting: Sequence[Task], slots: int) -> list[Task]:
    """Tasks in the order in which they should start.

    With one slot this is the plan's order, which completes the table row by row. With several slots it is the critical
    path first: the task with the most remaining work in its chain.
    """
    if slots == 1:
        return list(waiting)
    after = {task.needs: task.weight for task in waiting if task.needs is not None}
    return sorted(waiting, key=lambda task: (-(task.weight + after.get(task.number, 0)), task.number))


def next_to_start(ready: Iterable[Task], running: Iterable[Task]) -> Task | None:
    """The first of `ready` that shares no data with running tasks, else the one that shares least; None if none is
    ready.

    Models tuned with several seeds or interventions are tested on the same texts: two evaluations that start together
    would both compute activations that one could cache for the other.
    """
    being_read = {file for task in running for file in task.reads}
    least: tuple[int, Task] | None = None
    for task in ready:
        shared = sum(size for file, size in task.reads.items() if file in being_read)
        if shared == 0:
            return task
        if least is None or shared < least[0]:
            least = shared, task
    return None if least is None else least[1]


def run_tasks(
    waiting: Sequence[Task],
    settings: Settings,
    launcher: Launcher,
    report: Callable[[Task, Result], None],
    say_running: Callable[[Sequence[str]], None] = lambda _: None,
) -> None:
    """Run every task and `report` each as it ends; a task that depends on a failed one fails without being started.

    `say_running` gets the titles of the running jobs whenever they change. The launcher is closed at the end. If an
    exception such as Ctrl-C ends the run, running jobs are ended, and finished ones are reported before the exception
    is raised again.
    """
    waiting = in_order(waiting, launcher.slots)
    open_numbers = {task.number for task in waiting}
    failed: set[int] = set()
    running: dict[Future[str], Task] = {}
    # With several slots the launcher also gets jobs in advance and prepares them, so that no slot is idle between jobs.
    ahead = launcher.slots if launcher.slots == 1 else 2 * launcher.slots

    def ended(task: Task, result: Result) -> None:
        open_numbers.discard(task.number)
        if result.failure is not None:
            failed.add(task.number)
        report(task, result)

    finished = False
    try:
        while waiting or running:
            while len(running) < ahead:
                ready = (task for task in waiting if task.needs not in open_numbers)
                task = next_to_start(ready, running.values())
                if task is None:
                    break
                waiting.remove(task)
                result = _not_to_be_started(task, settings, failed)
                if result is None:
                    running[launcher.submit(order_to_json(Order(task.check, settings)))] = task
                else:
                    ended(task, result)
            if running:
                say_running([task.check.job.title for task in running.values()][: launcher.slots])
                for future in wait(running, return_when=FIRST_COMPLETED)[0]:
                    ended(running[future], result_from_json(future.result()))
                    del running[future]
        finished = True
    finally:
        launcher.close(cancel=not finished)
        for future, task in running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                report(task, result_from_json(future.result()))


def _not_to_be_started(task: Task, settings: Settings, failed: set[int]) -> Result | None:
    title = task.check.job.title
    if task.needs in failed:
        return Result(title, failure=f"{title}: not run, its model was not trained")
    return remembered_failure(Order(task.check, settings)) if settings.skip_failed else None
