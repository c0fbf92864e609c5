"""Launchers run jobs: they take a job's order as JSON and return its result as JSON."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol


class Launcher(Protocol):
    """Runs submitted jobs; the main job decides which jobs are ready and in which order."""

    slots: int
    """How many jobs it runs at once."""

    def submit(self, order: str) -> Future[str]:
        """Start a job (an Order as JSON); the future returns its Result as JSON, or raises InputError."""
        ...

    def close(self, cancel: bool) -> None:
        """Wait for the running jobs; with `cancel`, end them first."""
        ...
