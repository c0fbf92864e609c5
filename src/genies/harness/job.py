"""The main job: decide what must run, run it step by step, and keep the table true all along."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from genies.cache import cache_dir
from genies.contract import Evaluation
from genies.data.shifts import repeats
from genies.errors import BAD_INPUT, INTERRUPTED
from genies.file_hashes import FileHashes
from genies.harness.attempts import Order, remembered_failure
from genies.harness.commands import write_commands
from genies.harness.decide import Decision, EvaluationDecision, check_inputs, decide
from genies.harness.dry_run import describe
from genies.harness.failures import Failures, counted
from genies.harness.fingerprint import Identities
from genies.harness.folders import normal
from genies.harness.hardware import UNKNOWN, Hardware, all_hidden, this_machine
from genies.harness.launchers import Launcher
from genies.harness.launchers.local import LocalLauncher
from genies.harness.leaks import Leaks
from genies.harness.outputs import Table, check_tables, plan_tables, write_tables
from genies.harness.plan import Plan
from genies.harness.request import MetricsRequest
from genies.harness.results import check_locks
from genies.harness.schedule import Task, run_tasks, tasks
from genies.harness.step import Result, Run, available_cores
from genies.harness.store import Store
from genies.harness.table import make_table, mixed_formats, not_learned, shifts_with_holes, to_markdown


def compute_generalization_metrics(request: MetricsRequest, root: Path) -> int:
    """Run the main job and return its exit status: 0, 1 when a step failed, 2 when one was given bad input."""
    store = request.store(root)
    plan = request.plan(root)
    again = repeats(request.shifts())
    if again:
        print(f"{len(again)} shifts are listed twice; the mean counts each once", file=sys.stderr)
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    decisions = decide(plan, request.policy(), Identities(hashes, root, hardware(request)))
    check_inputs(decisions, store, request.named_by, "base_model_dir", partial(argument_of, request))
    tables = plan_tables(plan, normal(request.output_path))
    run = Run(
        store,
        request.timeout,
        request.verbose,
        fresh=request.retrain_models or not request.use_cached_evaluations,
        processes=request.processes_per_step,
        protect=request.protect,
    )
    if request.dry_run:
        failed = set() if request.retry_failed else failed_before(decisions, run)
        print(describe(decisions, failed, store, slots=len(request.gpus) or request.slots))
        return 0
    hashes.save()
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
    check_locks(decisions, store)
    progress = _Progress.of(decisions)
    leaks = known_leaks(plan) if request.exclude_leaked else None
    launcher = make_launcher(request, hashes, store)
    cores = available_cores() // launcher.slots if request.launcher == "local" else request.cpus_per_step
    run = replace(run, threads=max(1, cores), skip_failed=not request.retry_failed)
    try:
        with termination_as_interrupt():
            _run_all(tasks(decisions), run, launcher, progress, plan, tables, leaks)
    except KeyboardInterrupt:
        write_tables(tables, plan, progress.evaluations, leaks=leaks)
        raise
    finally:
        hashes.save()
    write_tables(tables, plan, progress.evaluations, leaks=leaks)
    return _conclude(request, plan, progress, tables, store, leaks)


_TABLE_PAUSE = 20
"""How many times as long as writing the tables took they are left alone: large ones must not hold up the steps."""


@dataclass
class _Progress:
    """What is known so far: the evaluations that answer the request, and what failed."""

    evaluations: dict[Path, Evaluation]
    unverified: list[str]
    absent_base_models: Counter[Path]
    """How many of the unverified could not be compared with the base model, by the folder that is not there."""
    failures: Failures = field(default_factory=Failures)
    started: int = 0

    @classmethod
    def of(cls, decisions: Sequence[Decision]) -> _Progress:
        """What is there before anything runs."""
        evaluations = [each for each in decisions if isinstance(each, EvaluationDecision)]
        by_decision = [(decision, each) for decision in evaluations for each in decision.targets if not each.run]
        reused = [each for _, each in by_decision]
        return cls(
            {each.target.evaluation_file: each.evaluation for each in reused if each.evaluation is not None},
            sorted(str(each.target.evaluation_file) for each in reused if each.standing.unverified),
            Counter(decision.base_model_dir for decision, each in by_decision if decision.unchecked_base_model(each)),
        )


def _run_all(
    waiting: Sequence[Task],
    run: Run,
    launcher: Launcher,
    progress: _Progress,
    plan: Plan,
    tables: Sequence[Table],
    leaks: Leaks | None,
) -> None:
    not_in_tables: set[Path] = set()
    next_writing = 0.0
    tqdm.monitor_interval = 0  # a thread that redraws a bar nobody moved: one more that the system may refuse
    # Counted in steps: with what was done so far, tqdm tells the time left.
    with tqdm(total=len(waiting), desc="steps", unit="step", disable=not waiting, dynamic_ncols=True) as bar:

        def report(task: Task, result: Result) -> None:
            nonlocal next_writing
            if result.cancelled and not result.done:
                return
            bar.update()
            bar.set_postfix_str(result.title, refresh=True)
            progress.started += result.started
            progress.evaluations |= result.done
            if result.failure is not None and progress.failures.add(result):
                bar.write(f"FAILED {result.failure}", file=sys.stderr)
            not_in_tables.update(result.done)
            begun = time.monotonic()
            if not_in_tables and begun >= next_writing:
                write_tables(tables, plan, progress.evaluations, not_in_tables)
                not_in_tables.clear()
                next_writing = time.monotonic() + _TABLE_PAUSE * (time.monotonic() - begun)

        run_tasks(waiting, run, _Patient(launcher), report)


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


def argument_of(request: MetricsRequest, intervention: str) -> str:
    """The argument of a request that names an intervention."""
    for name in ("baseline_intervention", "target_tuned_capability_intervention"):
        if normal(getattr(request, name)).name == intervention:
            return name
    return "intervention_dir"


def failed_before(decisions: Sequence[Decision], run: Run) -> set[int]:
    """The positions of steps that would not be tried, for they failed in an earlier run with the same inputs."""
    orders = {position: Order(each, run) for position, each in enumerate(decisions) if each.run}
    return {position for position, order in orders.items() if remembered_failure(order) is not None}


def hardware(request: MetricsRequest) -> Hardware:
    """What the steps of a request will run on: unknown for those that other machines run."""
    if request.emit_commands is not None or request.gpus_per_step:
        return UNKNOWN
    return this_machine(hidden=request.launcher == "ray" or (not request.gpus and all_hidden(os.environ)))


def make_launcher(request: MetricsRequest, hashes: FileHashes, store: Store) -> Launcher:
    """The launcher that a request names."""
    if request.launcher == "ray":
        from genies.harness.launchers.ray import RayLauncher

        return RayLauncher(request.ray_address, request.cpus_per_step, request.gpus_per_step, store)
    return LocalLauncher(request.slots, request.gpus, hashes)


def _conclude(
    request: MetricsRequest,
    plan: Plan,
    progress: _Progress,
    tables: Sequence[Table],
    store: Store,
    leaks: Leaks | None,
) -> int:
    for table in tables[:-1] if len(tables) > 1 else tables:  # the combined one repeats the others
        if len(tables) > 1:
            print(f"{table.rows[0].intervention}, {table.rows[0].model}")
        rows = make_table(table.rows, plan, progress.evaluations, leaks)
        print(to_markdown(rows), end="\n\n")
        if leaks is not None:
            left_out = sum(row.leaked_pairs or 0 for row in rows)
            print(f"{left_out} test pairs on targets are left out: their prompt is in the source's train split\n")
    names = ", ".join(store.shown(table.path) for table in tables)
    print(f"table: {names}   evaluations: {store.shown(store.results_dir / 'evaluations')}")
    unverified = progress.unverified
    done, ran = counted(len(progress.evaluations), "evaluation"), counted(progress.started, "step")
    print(f"{done}, {ran} run, {len(unverified)} unverified")
    for path in unverified[:5]:
        print(f"  unverified: {store.shown(Path(path))}")
    if len(unverified) > 5:
        print(f"  ... and {len(unverified) - 5} more")
    for line in mixed_formats(_by_base_model(plan, progress.evaluations)):
        print(f"  {line}")
    for folder, count in progress.absent_base_models.items():
        print(f"  base model folder {store.shown(folder)} is not there, so {count} of them cannot be compared with it")
    made = make_table(plan.rows, plan, progress.evaluations, leaks)
    unlearned = not_learned(made)
    if unlearned:
        print(unlearned)
    holes = shifts_with_holes(made)
    reasons = [] if leaks is None else list(leaks.holes)
    for reason in reasons:
        print(f"hole: {reason}", file=sys.stderr)
    failures = progress.failures
    if not failures.results:
        return 1 if reasons else 0
    failed, with_holes = counted(len(failures.results), "step"), counted(len(holes), "row")
    print(f"\n{failed} failed, {with_holes} with holes:", file=sys.stderr)
    for line in failures.lines():
        print(line, file=sys.stderr)
    hint = _reference_hint(request, plan, failures)
    if hint:
        print(hint, file=sys.stderr)
    return BAD_INPUT if failures.bad_input else 1


def _by_base_model(plan: Plan, evaluations: Mapping[Path, Evaluation]) -> Iterator[tuple[str, Evaluation]]:
    """Each evaluation once, with the base model of the rows that it is about."""
    models = {file: row.model for row in plan.rows for file in row.files}
    return ((models[file], evaluation) for file, evaluation in evaluations.items() if file in models)


def _reference_hint(request: MetricsRequest, plan: Plan, failures: Failures) -> str | None:
    """What to do when the reference intervention was at odds with arguments meant for another one."""
    reference = plan.capability_intervention
    shared = any(row.intervention == reference for row in plan.rows)
    if shared or request.best_reference or not request.train_kwargs or request.target_tuned_train_kwargs is not None:
        return None
    refused = (each for each in failures.results if each.bad_input and each.started)
    if not any(each.title.startswith(f"train {reference}, ") for each in refused):
        return None
    return (
        f"--train_kwargs reach the reference intervention, {reference}, too; "
        "--target_tuned_train_kwargs gives it its own, as '{}' for none"
    )


def known_leaks(plan: Plan) -> Leaks:
    """Which test examples leak in the plan's shifts, looked up before anything runs; InputError without the data."""
    folders = plan.distribution_folders()
    leaks = Leaks(lambda name: folders[name])
    for shift in dict.fromkeys(row.shift for row in plan.rows):
        leaks.leaked(shift.source, shift.target)
        leaks.leaked(shift.source, shift.source)
        leaks.leaked(shift.target_reference, shift.target_reference)
    return leaks


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
