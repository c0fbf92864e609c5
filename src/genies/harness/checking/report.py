"""The verdicts of checks, and the report as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "FAILED", "skipped"]

_WIDTH = 110


@dataclass(frozen=True)
class Verdict:
    """One check's outcome."""

    check: str
    """Its name in the report."""
    state: State
    note: str = ""
    """For ok, what was found; for skipped, why."""
    expected: str = ""
    came: str = ""
    log: Path | None = None
    change: str = ""
    """What to do about a failure."""


def ok(check: str, note: str) -> Verdict:
    return Verdict(check, "ok", note)


def skipped(check: str, why: str) -> Verdict:
    return Verdict(check, "skipped", why)


def failed(check: str, *, expected: str, came: str, log: Path | None, change: str) -> Verdict:
    return Verdict(check, "FAILED", expected=expected, came=came, log=log, change=change)


def to_text(verdicts: Sequence[Verdict]) -> str:
    """A line for each check; below a failed one, what was expected, what was found, the log, and what to change."""
    width = max(len(verdict.check) for verdict in verdicts)
    return "".join(
        f"{verdict.state:<8} {verdict.check:<{width}}  {verdict.note}".rstrip() + "\n" + _details(verdict)
        for verdict in verdicts
    )


def _details(verdict: Verdict) -> str:
    if verdict.state != "FAILED":
        return ""
    log = "" if verdict.log is None else str(verdict.log)
    rows = {"expected": verdict.expected, "found": verdict.came, "log": log, "change": verdict.change}
    return "".join(_block(name, text) for name, text in rows.items() if text)


def _block(name: str, text: str) -> str:
    """A name and its text, wrapped if it is a sentence; lines of a log or a list are kept."""
    lines: list[str] = []
    for line in text.splitlines():
        wrapped = textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False)
        lines += wrapped if name in ("expected", "change") else [line]
    head = f"{'':9}{name + ':':<10}"
    return head + f"\n{'':19}".join(lines) + "\n"
