"""Numbers with their nouns and units, for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "job"), counted(2, "job")
    ('1 job', '2 jobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """A size with its unit, such as 138 kB or 1.2 GB."""
    power, unit = next(each for each in ((9, "GB"), (6, "MB"), (3, "kB"), (0, "bytes")) if count >= 10 ** each[0])
    value = count / 10**power
    return f"{value:.1f} {unit}" if power and value < 10 else f"{value:.0f} {unit}"


def duration(seconds: float) -> str:
    """A time with its unit, such as 90 s, 15 min or 2.5 h."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
