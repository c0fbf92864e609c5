"""The provenance of evaluations as text: of each evaluation, and of all together in the footer."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from genies.credentials import published, published_items
from genies.quantities import duration
from genies.report.study import Reading

Fact = tuple[str, str]
"""A name and its value as text."""


def facts(reading: Reading) -> list[Fact]:
    """The complete provenance of one evaluation."""
    evaluation, origin = reading.evaluation, reading.provenance or {}
    found: list[Fact] = [("verified", verdict(reading))]
    argv = origin.get("argv")
    if isinstance(argv, list):
        found.append(("command", shlex.join(published_items(list(map(str, argv))))))
    if isinstance(origin.get("git_commit"), str):
        found.append(("commit", commit(origin)))
    versions = origin.get("versions")
    if isinstance(versions, dict):
        found.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    for name, key in (("started", "started"), ("platform", "platform")):
        if isinstance(origin.get(key), str):
            found.append((name, origin[key]))
    if isinstance(origin.get("seconds"), int | float):
        found.append(("seconds of its job", f"{origin['seconds']:,.1f}"))
    for name, value in (
        ("device", evaluation.device or origin.get("device")),
        ("dtype", evaluation.dtype),
        ("prompt format", evaluation.prompt_format),
        ("system prompt", evaluation.system_prompt),
    ):
        if isinstance(value, str):
            found.append((name, value))
    for name, key in (("fingerprint", "fingerprint"), ("tuned model", "model_content")):
        if isinstance(origin.get(key), str):
            found.append((name, origin[key]))
    parts = origin.get("parts")
    if isinstance(parts, dict):
        found.append(("made from", json.dumps(published(parts), ensure_ascii=False, sort_keys=True)))
    return found


def verdict(reading: Reading) -> str:
    if reading.verified:
        return "yes: it contains the fingerprint of its inputs"
    return "no: it contains no fingerprint of its inputs"


def commit(origin: dict[str, Any]) -> str:
    return f"{origin['git_commit']}{', with uncommitted changes' if origin.get('git_dirty') else ''}"


def short_facts(reading: Reading) -> str:
    """One line for a tooltip: verified or not, commit, device, number format, seconds."""
    origin = reading.provenance or {}
    words = ["verified" if reading.verified else "unverified"]
    if isinstance(origin.get("git_commit"), str):
        words.append(f"commit {origin['git_commit'][:10]}{' with changes' if origin.get('git_dirty') else ''}")
    for value in (reading.evaluation.device or origin.get("device"), reading.evaluation.dtype):
        if isinstance(value, str):
            words.append(value)
    if isinstance(origin.get("seconds"), int | float):
        words.append(f"{origin['seconds']:,.0f} s")
    return ", ".join(words)


def together(readings: Sequence[Reading]) -> list[Fact]:
    """The provenance of all evaluations of a study, with counts of values that differ."""
    origins = [reading.provenance or {} for reading in readings]
    unverified = sum(not reading.verified for reading in readings)
    found: list[Fact] = [
        ("evaluations", f"{len(readings):,}, " + (f"{unverified:,} unverified" if unverified else "all verified"))
    ]
    commits = [commit(each)[:10] + commit(each)[40:] for each in origins if isinstance(each.get("git_commit"), str)]
    versions = [
        f"{name} {version}"
        for each in origins
        if isinstance(each.get("versions"), dict)
        for name, version in each["versions"].items()
    ]
    for name, values in (
        ("commits", commits),
        ("versions", versions),
        ("devices", [reading.evaluation.device or (reading.provenance or {}).get("device") for reading in readings]),
        ("number formats", [reading.evaluation.dtype for reading in readings]),
        ("platforms", [each.get("platform") for each in origins]),
    ):
        words = _counted(values, len(readings))
        if words:
            found.append((name, words))
    # A job evaluates several distributions, and each of its files contains the seconds of the job.
    steps = {
        (json.dumps(each.get("argv")), each.get("started")): each["seconds"]
        for each in origins
        if isinstance(each.get("seconds"), int | float)
    }
    if steps:
        found.append(("computing", f"{len(steps):,} evaluation jobs, {duration(sum(steps.values()))}"))
    return found


def _counted(values: Iterable[object], of: int) -> str:
    counts = Counter(value for value in values if isinstance(value, str))
    return ", ".join(name if count == of else f"{name} ({count:,})" for name, count in sorted(counts.items()))
