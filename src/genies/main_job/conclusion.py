"""The output at the end of a run: tables, counts, warnings about the values, failures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from genies.errors import BAD_INPUT
from genies.evaluation_file import Evaluation
from genies.main_job.run import Run
from genies.quantities import counted
from genies.table.doubts import assumed, mixed_formats, not_learned
from genies.table.rows import TableRow, shifts_with_holes
from genies.table.text import to_markdown

_SHOWN = 5


def conclude(run: Run) -> int:
    """Print the end of a run and return its exit status."""
    store, tables, leaks = run.store, run.tables, run.leaks
    for table in tables:
        if table.combined:
            continue
        if len(tables) > 1:
            print(f"{table.rows[0].intervention}, {table.rows[0].model}")
        rows = run.table(table.rows)
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
    unverified = run.unverified
    done, ran = counted(len(run.evaluations), "evaluation"), counted(run.started, "job")
    print(f"{done}, {ran} run, {len(unverified)} unverified")
    for path in unverified[:_SHOWN]:
        print(f"  unverified: {store.shown(Path(path))}")
    if len(unverified) > _SHOWN:
        print(f"  ... and {len(unverified) - _SHOWN} more")
    for folder, count in run.absent_base_models.items():
        print(f"  base model folder {store.shown(folder)} does not exist; {count} of them cannot be compared with it")
    for line in [*mixed_formats(_by_base_model(run)), *assumed(run.evaluations.values())]:
        print(f"  {line}")
    made = run.table()
    if unlearned := not_learned(made, _untuned(run)):
        print(unlearned)
    reasons = [] if leaks is None else list(leaks.holes)
    for reason in reasons:
        print(f"missing value: {reason}", file=sys.stderr)
    failures = run.failures
    if not failures.results:
        return 1 if reasons else 0
    failed, incomplete = counted(len(failures.results), "job"), counted(len(shifts_with_holes(made)), "row")
    print(f"\n{failed} failed, {incomplete} with missing values:", file=sys.stderr)
    for line in [*failures.lines(), *_reference_hint(run)]:
        print(line, file=sys.stderr)
    return BAD_INPUT if failures.bad_input else 1


def doubts(run: Run, rows: Sequence[TableRow]) -> Iterator[str]:
    """What the numbers of a table cannot mean, a sentence each: for a program that prints nothing."""
    if unverified := run.unverified:
        shown = ", ".join(unverified[:_SHOWN]) + (f" and {len(unverified) - _SHOWN} more" * (len(unverified) > _SHOWN))
        yield f"{counted(len(unverified), 'evaluation')} could not be verified, and were reused: {shown}"
    yield from mixed_formats(_by_base_model(run))
    yield from assumed(run.evaluations.values())
    if unlearned := not_learned(rows, _untuned(run)):
        yield unlearned


def _untuned(run: Run) -> set[str]:
    """The interventions that tune nothing."""
    return {job.identity.variant for job in run.plan.jobs if not job.tunes}


def _by_base_model(run: Run) -> Iterator[tuple[str, Evaluation]]:
    """Each evaluation once, with the base model of its rows."""
    models = {file: row.model for row in run.plan.rows for file in row.files}
    return ((models[file], evaluation) for file, evaluation in run.evaluations.items() if file in models)


def _reference_hint(run: Run) -> Iterator[str]:
    """What to do when the reference intervention refused arguments that were meant for another one."""
    request, reference = run.request, run.plan.capability_intervention
    shared = request.best_reference or any(row.intervention == reference for row in run.plan.rows)
    if shared or not request.train_kwargs or request.target_tuned_train_kwargs is not None:
        return
    refused = (each for each in run.failures.results if each.bad_input and each.started)
    if any(each.title.startswith(f"train {reference}, ") for each in refused):
        yield (
            f"--train_kwargs are also passed to the reference intervention, {reference}; "
            "--target_tuned_train_kwargs replaces them for it ('{}' for none)"
        )
