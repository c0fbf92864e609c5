"""What a run would do, and about how much work it is: the plan as a table, counted, with an estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from genies.harness.decide import Decision, TrainingDecision
from genies.harness.store import Store
from genies.harness.workload import Work, kept_activations, kind_of, rate, rate_key, step_work

CHARACTERS_PER_TOKEN = 4
"""Roughly, of English text and usual tokenizers."""


def describe(decisions: Sequence[Decision], failed_before: Collection[int], store: Store, slots: int) -> str:
    """A line for each training and each evaluation with what would become of it and why; counts; the work.

    failed_before: the positions of steps that failed in an earlier run with the same inputs, and will not be tried.
    slots: how many steps run at once.
    """
    lines: list[tuple[str, str, str, str]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for position, decision in enumerate(decisions):
        for kind, action, title, why in _lines(decision):
            if action == "run" and position in failed_before:
                why = "failed in an earlier run; not tried again without --retry_failed"
            lines.append((str(position + 1), action, title, why))
            counts[kind, action] += 1
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    body = "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
        for line in lines
    )
    to_run = [each for position, each in enumerate(decisions) if each.run and position not in failed_before]
    count = sum(decision.run for decision in decisions)
    last = f"{len(decisions)} steps in the plan, {count} to run; nothing was written"
    return "\n\n".join([body, _counted(counts), *([_work(to_run, store, slots)] if to_run else []), last])


def _lines(decision: Decision) -> Iterator[tuple[str, str, str, str]]:
    """Kind, action, title and reason of a training, or of each evaluation of a step."""
    if isinstance(decision, TrainingDecision):
        reused = "unverified" if decision.standing.unverified else "reuse"
        action = "run" if decision.run else reused if decision.standing.usable else "not needed"
        yield "train", action, decision.step.title, decision.why
        return
    for each in decision.targets:
        action = "run" if each.run else "unverified" if each.standing.unverified else "reuse"
        title = f"evaluate {decision.step.intervention}, {decision.step.model_name}, on "
        yield "evaluate", action, title + each.target.distribution_dir.name, each.why


def _counted(counts: Counter[tuple[str, str]]) -> str:
    actions = {"run": "to run", "reuse": "reused", "unverified": "unverified", "not needed": "not needed"}
    lines = [" " * 8 + "".join(f"{name:>12}" for name in actions.values())]
    lines += [
        f"{kind:<8}" + "".join(f"{counts[kind, each]:>12,}" for each in actions) for kind in ("train", "evaluate")
    ]
    return "\n".join(lines)


def _work(decisions: Sequence[Decision], store: Store, slots: int) -> str:
    lines = []
    for kind, verb in (("train", "train on"), ("evaluate", "evaluate")):
        work = sum((step_work(each) for each in decisions if kind_of(each) == kind), Work())
        if work.examples:
            lines.append(
                f"to {verb}: {work.examples:,} examples, {work.pairs:,} pairs, {work.characters:,} characters, "
                f"about {work.characters // CHARACTERS_PER_TOKEN:,} tokens read once"
            )
    texts, size = kept_activations(decisions)
    if size:
        lines.append(
            f"activations, where an intervention keeps them: at most {_size(size)} for each way of asking, "
            f"{_size(size // texts)} a text; cache_gb in the kwargs bounds it"
        )
    seconds, known = 0.0, 0
    rates = {key: rate(*key, store) for key in {rate_key(each) for each in decisions}}
    for decision in decisions:
        each = rates[rate_key(decision)]
        if each is not None:
            seconds += each * step_work(decision).characters
            known += 1
    if known:
        of = "all of them" if known == len(decisions) else f"{known:,} of {len(decisions):,} steps"
        lines.append(
            f"time: about {_duration(seconds / slots)} for {of}, {slots} at once, by what the same interventions took "
            "with the same model before"
        )
    else:
        lines.append("time: no step of the same intervention and model has been recorded to tell it from")
    return "\n".join(lines)


def _size(count: int) -> str:
    """A size as a person says it: 138 kB, 1.2 GB."""
    power, unit = next(each for each in ((9, "GB"), (6, "MB"), (3, "kB"), (0, "bytes")) if count >= 10 ** each[0])
    value = count / 10**power
    return f"{value:.1f} {unit}" if power and value < 10 else f"{value:.0f} {unit}"


def _duration(seconds: float) -> str:
    """A time as a person says it, to two digits or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
