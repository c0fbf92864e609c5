"""The main job: decide what must run, run it step by step, and keep the table true all along."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from genies.contract import Evaluation, read_evaluation
from genies.data.shifts import repeats
from genies.errors import BAD_INPUT, InputError
from genies.files import write_text
from genies.harness.decide import Decision, EvaluationDecision, TrainingDecision, check_inputs, decide
from genies.harness.hashes import FileHashes
from genies.harness.launchers import Launcher
from genies.harness.launchers.local import LocalLauncher
from genies.harness.plan import Plan
from genies.harness.request import MetricsRequest, normal
from genies.harness.schedule import Task, run_tasks, tasks
from genies.harness.step import Result, Run
from genies.harness.store import Store
from genies.harness.table import make_table, shifts_with_holes, to_csv, to_markdown


def cache_dir(root: Path) -> Path:
    """Folder for what may be deleted at any time."""
    return Path(os.environ.get("GENIES_CACHE") or root / ".cache" / "genies")


def compute_generalization_metrics(request: MetricsRequest, root: Path) -> int:
    """Run the main job and return its exit status: 0, 1 when a step failed, 2 when one was given bad input."""
    store = request.store(root)
    plan = request.plan(root)
    again = repeats([row.shift for row in plan.rows])
    if again:
        print(f"{len(again)} shifts are listed twice; the mean counts each once", file=sys.stderr)
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    decisions = decide(plan, request.policy(), hashes)
    check_inputs(decisions, store)
    if request.dry_run:
        print(describe(decisions, store))
        return 0
    hashes.save()

    output_path = normal(request.output_path)
    check_output(output_path)
    progress = _Progress.of(decisions)
    launcher = make_launcher(request, hashes)
    fresh = request.retrain_models or not request.use_cached_evaluations
    threads = max(1, (os.cpu_count() or 1) // launcher.slots)
    run = Run(store, request.timeout, request.verbose, fresh, threads)
    finished = False
    try:
        with termination_as_interrupt():
            _run_all(tasks(decisions), run, launcher, progress, request.retry_failed, plan, output_path)
            finished = True
    finally:
        launcher.close(cancel=not finished)
        hashes.save()
    _write_table(plan, progress, output_path)
    return _conclude(plan, progress, output_path, store)


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
    output_path: Path,
) -> None:
    # Counted in steps: with what was done so far, tqdm tells the time left.
    with tqdm(total=len(waiting), desc="steps", unit="step", disable=not waiting, dynamic_ncols=True) as bar:
        for task, result in run_tasks(waiting, run, launcher, retry_failed):
            bar.update()
            bar.set_postfix_str(result.title, refresh=True)
            progress.started += result.started
            progress.evaluations |= {path: read_evaluation(path)[0] for path in sorted(result.done)}
            if result.failure is not None:
                progress.failures.append(result)
                bar.write(f"FAILED {result.failure}", file=sys.stderr)
            if isinstance(task.decision, EvaluationDecision):
                _write_table(plan, progress, output_path)


def make_launcher(request: MetricsRequest, hashes: FileHashes) -> Launcher:
    """The launcher that a request names."""
    return LocalLauncher(request.slots, request.gpus, hashes)


def _write_table(plan: Plan, progress: _Progress, output_path: Path) -> None:
    write_text(output_path, to_csv(make_table(plan, progress.evaluations)))


def _conclude(plan: Plan, progress: _Progress, output_path: Path, store: Store) -> int:
    rows = make_table(plan, progress.evaluations)
    print(to_markdown(rows))
    print(f"\ntable: {store.shown(output_path)}   evaluations: {store.shown(store.results_dir / 'evaluations')}")
    print(
        f"{len(progress.evaluations)} evaluations, {progress.started} steps run, {len(progress.unverified)} unverified"
    )
    for path in progress.unverified[:5]:
        print(f"  unverified: {store.shown(Path(path))}")
    if len(progress.unverified) > 5:
        print(f"  ... and {len(progress.unverified) - 5} more")
    if not progress.failures:
        return 0
    print(f"\n{len(progress.failures)} steps failed, {len(shifts_with_holes(rows))} rows have holes:", file=sys.stderr)
    for result in progress.failures:
        print(f"- {result.failure}", file=sys.stderr)
    return BAD_INPUT if any(result.bad_input for result in progress.failures) else 1


def check_output(path: Path) -> None:
    """InputError, before anything runs, for an output file that could not be written."""
    if path.is_dir():
        raise InputError(f"--output_path {path} is a folder; expected the name of a CSV file")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--output_path {path}: its folder cannot be written to")


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
