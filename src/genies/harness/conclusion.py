"""The progress of a run, and the output at its end: tables, counts, warnings about the values, failures."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genies.contract import Evaluation
from genies.data.leaks import Leaks
from genies.errors import BAD_INPUT
from genies.harness.decide import Check, absent_base_model
from genies.harness.failures import Failures, counted
from genies.harness.order import Result
from genies.harness.outputs import Table, make_table
from genies.harness.plan import Plan
from genies.harness.request import MetricsRequest
from genies.harness.store import Store
from genies.table.doubts import assumed, mixed_formats, not_learned
from genies.table.rows import TableRow, shifts_with_holes
from genies.table.text import to_markdown

_SHOWN = 5


@dataclass
class Progress:
    """The evaluations of the request so far, and the failures."""

    evaluations: dict[Path, Evaluation]
    unverified: list[str]
    absent_base_models: Counter[Path]
    """How many unverified evaluations could not be compared with a base model, by its missing folder."""
    failures: Failures = field(default_factory=Failures)
    started: int = 0

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Progress:
        """The progress before any job runs."""
        reused = [
            (check, check.job.outputs[name], output)
            for check in checks
            for name, output in check.outputs.items()
            if check.job.role == "evaluate" and not output.run
        ]
        return cls(
            {path: output.evaluation for _, path, output in reused if output.evaluation is not None},
            sorted(str(path) for _, path, output in reused if output.standing.unverified),
            Counter(check.job.base_model_dir for check, _, output in reused if absent_base_model(check, output)),
        )

    def add(self, result: Result) -> None:
        """Add the result of a job."""
        self.started += result.started
        self.evaluations |= result.done


def conclude(
    request: MetricsRequest, plan: Plan, progress: Progress, tables: Sequence[Table], store: Store, leaks: Leaks | None
) -> int:
    """Print the end of a run and return its exit status."""
    for table in tables:
        if table.combined:
            continue
        if len(tables) > 1:
            print(f"{table.rows[0].intervention}, {table.rows[0].model}")
        rows = make_table(table.rows, plan, progress.evaluations, leaks)
        print(to_markdown(rows), end="\n\n")
        if not any(row.source for row in rows):
            print(
                "no shift has a source: nothing is tuned, and the columns of source, baseline and reference are empty\n"
            )
        if leaks is not None:
            left_out = sum(row.leaked_pairs or 0 for row in rows)
            print(f"{left_out} test pairs on targets are excluded: their prompt is in the source's train split\n")
    names = ", ".join(store.shown(table.path) for table in tables)
    print(f"table: {names}   evaluations: {store.shown(store.results_dir / 'evaluations')}")
    unverified = progress.unverified
    done, ran = counted(len(progress.evaluations), "evaluation"), counted(progress.started, "job")
    print(f"{done}, {ran} run, {len(unverified)} unverified")
    for path in unverified[:_SHOWN]:
        print(f"  unverified: {store.shown(Path(path))}")
    if len(unverified) > _SHOWN:
        print(f"  ... and {len(unverified) - _SHOWN} more")
    for folder, count in progress.absent_base_models.items():
        print(f"  base model folder {store.shown(folder)} does not exist; {count} of them cannot be compared with it")
    for line in [*mixed_formats(_by_base_model(plan, progress.evaluations)), *assumed(progress.evaluations.values())]:
        print(f"  {line}")
    made = make_table(plan.rows, plan, progress.evaluations, leaks)
    if unlearned := not_learned(made):
        print(unlearned)
    reasons = [] if leaks is None else list(leaks.holes)
    for reason in reasons:
        print(f"missing value: {reason}", file=sys.stderr)
    failures = progress.failures
    if not failures.results:
        return 1 if reasons else 0
    failed, incomplete = counted(len(failures.results), "job"), counted(len(shifts_with_holes(made)), "row")
    print(f"\n{failed} failed, {incomplete} with missing values:", file=sys.stderr)
    for line in [*failures.lines(), *_reference_hint(request, plan, failures)]:
        print(line, file=sys.stderr)
    return BAD_INPUT if failures.bad_input else 1


def doubts(plan: Plan, progress: Progress, rows: Sequence[TableRow]) -> Iterator[str]:
    """What the numbers of a table cannot mean, a sentence each: for a program that prints nothing."""
    if unverified := progress.unverified:
        shown = ", ".join(unverified[:_SHOWN]) + (f" and {len(unverified) - _SHOWN} more" * (len(unverified) > _SHOWN))
        yield f"{counted(len(unverified), 'evaluation')} could not be verified, and were reused: {shown}"
    yield from mixed_formats(_by_base_model(plan, progress.evaluations))
    yield from assumed(progress.evaluations.values())
    if unlearned := not_learned(rows):
        yield unlearned


def _by_base_model(plan: Plan, evaluations: Mapping[Path, Evaluation]) -> Iterator[tuple[str, Evaluation]]:
    """Each evaluation once, with the base model of its rows."""
    models = {file: row.model for row in plan.rows for file in row.files}
    return ((models[file], evaluation) for file, evaluation in evaluations.items() if file in models)


def _reference_hint(request: MetricsRequest, plan: Plan, failures: Failures) -> Iterator[str]:
    """What to do when the reference intervention refused arguments that were meant for another one."""
    reference = plan.capability_intervention
    shared = request.best_reference or any(row.intervention == reference for row in plan.rows)
    if shared or not request.train_kwargs or request.target_tuned_train_kwargs is not None:
        return
    refused = (each for each in failures.results if each.bad_input and each.started)
    if any(each.title.startswith(f"train {reference}, ") for each in refused):
        yield (
            f"--train_kwargs are also passed to the reference intervention, {reference}; "
            "--target_tuned_train_kwargs replaces them for it ('{}' for none)"
        )
