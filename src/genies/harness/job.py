"""The main job: decide what must run, run it step by step, and keep the table true all along."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from genies.cache import cache_dir
from genies.contract import Evaluation, read_evaluation
from genies.data.shifts import repeats
from genies.errors import BAD_INPUT, INTERRUPTED
from genies.file_hashes import FileHashes
from genies.harness.commands import write_commands
from genies.harness.decide import Decision, EvaluationDecision, TrainingDecision, check_inputs, decide
from genies.harness.fingerprint import Identities
from genies.harness.launchers import Launcher
from genies.harness.launchers.local import LocalLauncher
from genies.harness.outputs import Table, check_tables, plan_tables, write_tables
from genies.harness.plan import Plan
from genies.harness.request import MetricsRequest, normal
from genies.harness.schedule import Task, run_tasks, tasks
from genies.harness.step import Result, Run, available_cores
from genies.harness.store import Store
from genies.harness.table import make_table, shifts_with_holes, to_markdown


def compute_generalization_metrics(request: MetricsRequest, root: Path) -> int:
    """Run the main job and return its exit status: 0, 1 when a step failed, 2 when one was given bad input."""
    store = request.store(root)
    plan = request.plan(root)
    again = repeats(request.shifts())
    if again:
        print(f"{len(again)} shifts are listed twice; the mean counts each once", file=sys.stderr)
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    decisions = decide(plan, request.policy(), Identities(hashes))
    check_inputs(decisions, store)
    tables = plan_tables(plan, normal(request.output_path))
    if request.dry_run:
        print(describe(decisions, store))
        return 0
    hashes.save()

    run = Run(
        store,
        request.timeout,
        request.verbose,
        fresh=request.retrain_models or not request.use_cached_evaluations,
        processes=request.processes_per_step,
    )
    if request.emit_commands is not None:
        waiting = tasks(decisions)
        write_commands(
            normal(request.emit_commands),
            waiting,
            run,
        )
        print(f"{len(waiting)} steps are in {request.emit_commands}, a line each; nothing was run")
        return 0

    check_tables(tables)
    progress = _Progress.of(decisions)
    launcher = make_launcher(request, hashes, store)
    cores = available_cores() // launcher.slots if request.launcher == "local" else request.cpus_per_step
    run = replace(run, threads=max(1, cores))
    try:
        with termination_as_interrupt():
            _run_all(tasks(decisions), run, launcher, progress, request.retry_failed, plan, tables)
    except KeyboardInterrupt:
        write_tables(tables, plan, progress.evaluations)
        raise
    finally:
        hashes.save()
    write_tables(tables, plan, progress.evaluations)
    return _conclude(plan, progress, tables, store)


@dataclass
class _Progress:
    """What is known so far: the evaluations that answer the request, and what failed."""

    evaluations: dict[Path, Evaluation]
    unverified: list[str]
    failures: list[Result] = field(default_factory=list)
    started: int = 0

    @classmethod
    def of(cls, decisions: Sequence[Decision]) -> _Progress:
        """What is there before anything runs."""
        targets = [
            each for decision in decisions if isinstance(decision, EvaluationDecision) for each in decision.targets
        ]
        reused = [each for each in targets if not each.run]
        return cls(
            {each.target.evaluation_file: read_evaluation(each.target.evaluation_file)[0] for each in reused},
            sorted(str(each.target.evaluation_file) for each in reused if each.standing.unverified),
        )


def _run_all(
    waiting: Sequence[Task],
    run: Run,
    launcher: Launcher,
    progress: _Progress,
    retry_failed: bool,
    plan: Plan,
    tables: Sequence[Table],
) -> None:
    # Counted in steps: with what was done so far, tqdm tells the time left.
    with tqdm(total=len(waiting), desc="steps", unit="step", disable=not waiting, dynamic_ncols=True) as bar:

        def report(task: Task, result: Result) -> None:
            if result.cancelled and not result.done:
                return
            bar.update()
            bar.set_postfix_str(result.title, refresh=True)
            progress.started += result.started
            progress.evaluations |= result.done
            if result.failure is not None:
                progress.failures.append(result)
                bar.write(f"FAILED {result.failure}", file=sys.stderr)
            if isinstance(task.decision, EvaluationDecision):
                write_tables(tables, plan, progress.evaluations, result.done)

        run_tasks(waiting, run, _Patient(launcher), retry_failed, report)


class _Patient:
    """A launcher whose end is waited for, unless Ctrl-C comes again meanwhile."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.slots = launcher.slots

    def submit(self, order: str) -> Future[str]:
        return self._launcher.submit(order)

    def close(self, cancel: bool) -> None:
        if cancel:
            print("ending the running steps; Ctrl-C again does not wait for them", file=sys.stderr)
        try:
            self._launcher.close(cancel)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)  # the steps' supervisors see this process go, and end them


def make_launcher(request: MetricsRequest, hashes: FileHashes, store: Store) -> Launcher:
    """The launcher that a request names."""
    if request.launcher == "ray":
        from genies.harness.launchers.ray import RayLauncher

        return RayLauncher(request.ray_address, request.cpus_per_step, request.gpus_per_step, store)
    return LocalLauncher(request.slots, request.gpus, hashes)


def _conclude(plan: Plan, progress: _Progress, tables: Sequence[Table], store: Store) -> int:
    for table in tables[:-1] if len(tables) > 1 else tables:  # the combined one repeats the others
        if len(tables) > 1:
            print(f"{table.rows[0].intervention}, {table.rows[0].model}")
        print(to_markdown(make_table(table.rows, plan, progress.evaluations)), end="\n\n")
    names = ", ".join(store.shown(table.path) for table in tables)
    print(f"table: {names}   evaluations: {store.shown(store.results_dir / 'evaluations')}")
    unverified = progress.unverified
    print(f"{len(progress.evaluations)} evaluations, {progress.started} steps run, {len(unverified)} unverified")
    for path in unverified[:5]:
        print(f"  unverified: {store.shown(Path(path))}")
    if len(unverified) > 5:
        print(f"  ... and {len(unverified) - 5} more")
    if not progress.failures:
        return 0
    holes = shifts_with_holes(make_table(plan.rows, plan, progress.evaluations))
    print(f"\n{len(progress.failures)} steps failed, {len(holes)} rows have holes:", file=sys.stderr)
    for result in progress.failures:
        print(f"- {result.failure}", file=sys.stderr)
    return BAD_INPUT if any(result.bad_input for result in progress.failures) else 1


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: running steps are ended and the table is written."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def describe(decisions: Sequence[Decision], store: Store) -> str:
    """The plan as a table: a line a step, what it would do and why."""
    lines = []
    for number, decision in enumerate(decisions, start=1):
        if isinstance(decision, TrainingDecision):
            action = "run" if decision.run else ("reuse" if decision.standing.usable else "not needed")
            lines.append([str(number), action, decision.step.title, decision.why])
        else:
            for each in decision.targets:
                action = "run" if each.run else ("unverified" if each.standing.unverified else "reuse")
                title = f"evaluate {decision.step.intervention}, {decision.step.model_name}, on "
                lines.append([str(number), action, title + each.target.distribution_dir.name, each.why])
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    body = "\n".join(
        "  ".join([cell.ljust(width) for cell, width in zip(line, widths, strict=False)] + [line[3]]).rstrip()
        for line in lines
    )
    count = sum(decision.run for decision in decisions)
    return f"{body}\n\n{len(decisions)} steps in the plan, {count} to run; nothing was written"
