"""A value that may be None, where the test expects one."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value itself; fails the test where it is None."""
    assert value is not None
    return value
