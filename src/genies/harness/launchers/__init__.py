"""Where steps run. A launcher takes a step's order as JSON and answers, some day, with its result as JSON."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol


class Launcher(Protocol):
    """One method does the work; the job decides what is ready and in which order."""

    slots: int
    """How many steps it runs at once."""

    def submit(self, order: str) -> Future[str]:
        """Start a step (an Order as JSON); the future gives its Result as JSON, or raises InputError."""
        ...

    def close(self, cancel: bool) -> None:
        """Wait for what runs, after ending it when `cancel` is set."""
        ...
