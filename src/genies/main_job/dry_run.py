"""What a run would do: the plan as a table, with counts and an estimate of the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from genies.data.work import CHARACTERS_PER_TOKEN, Work
from genies.harness.decide import Check
from genies.harness.store import Store
from genies.main_job.fitting import Room, memory_lines
from genies.main_job.workload import job_work, kept_activations, rate, rate_key
from genies.quantities import duration, size


def describe(checks: Sequence[Check], failed_before: Collection[int], store: Store, slots: int, room: Room) -> str:
    """A line for each training and evaluation with the action and its reason; then counts and estimates.

    failed_before: positions of jobs that failed in an earlier run with the same inputs and will not be tried again.
    slots: how many jobs run at once. room: the memory that they get.
    """
    lines: list[tuple[str, str, str, str]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for position, check in enumerate(checks):
        for kind, action, title, why in _lines(check):
            if action == "run" and position in failed_before:
                why = "failed in an earlier run; not tried again without --retry_failed"
            lines.append((str(position + 1), action, title, why))
            counts[kind, action] += 1
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    body = "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
        for line in lines
    )
    to_run = [each for position, each in enumerate(checks) if each.run and position not in failed_before]
    last = f"{len(checks)} jobs in the plan, {len(to_run)} to run; nothing was written"
    return "\n\n".join([body, _counted(counts), *([_work(to_run, store, slots, room)] if to_run else []), last])


def _lines(check: Check) -> Iterator[tuple[str, str, str, str]]:
    """Role, action, title and reason of a training, or of each evaluation of a job."""
    for name, output in check.outputs.items():
        reused = "unverified" if output.standing.unverified else "reuse"
        action = "run" if output.run else reused if output.standing.usable else "not needed"
        yield check.job.role, action, check.job.titled([name]), output.why


def _counted(counts: Counter[tuple[str, str]]) -> str:
    actions = {"run": "to run", "reuse": "reused", "unverified": "unverified", "not needed": "not needed"}
    lines = [" " * 8 + "".join(f"{name:>12}" for name in actions.values())]
    lines += [
        f"{kind:<8}" + "".join(f"{counts[kind, each]:>12,}" for each in actions) for kind in ("train", "evaluate")
    ]
    return "\n".join(lines)


def _work(checks: Sequence[Check], store: Store, slots: int, room: Room) -> str:
    lines = []
    for kind, verb in (("train", "train on"), ("evaluate", "evaluate")):
        work = sum((job_work(each) for each in checks if each.job.role == kind), Work())
        if work.examples:
            lines.append(
                f"to {verb}: {work.examples:,} examples, {work.pairs:,} pairs, {work.characters:,} characters, "
                f"about {work.characters // CHARACTERS_PER_TOKEN:,} tokens read once"
            )
    texts, kept = kept_activations(checks)
    if kept:
        lines.append(
            f"activations, if an intervention caches them: at most {size(kept)} for each prompt format, "
            f"{size(kept // texts)} per text; cache_gb in the kwargs limits them"
        )
    lines += memory_lines(checks, room)
    seconds, known = 0.0, 0
    rates = {key: rate(*key, store) for key in {rate_key(each) for each in checks}}
    for check in checks:
        each = rates[rate_key(check)]
        if each is not None:
            seconds += each * job_work(check).characters
            known += 1
    if known:
        of = "all jobs" if known == len(checks) else f"{known:,} of {len(checks):,} jobs"
        lines.append(
            f"time: about {duration(seconds / slots)} for {of}, {slots} at once, estimated from earlier jobs of the "
            "same interventions and model"
        )
    else:
        lines.append(
            "time: unknown; there are no earlier jobs of the same intervention and model in the results folder"
        )
    return "\n".join(lines)
