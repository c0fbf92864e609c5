"""Locks between processes: who works on a result, and until when.

An advisory lock on a file (flock) that the operating system frees when the last process with the descriptor ends. The
descriptor is handed to the step's supervisor, so that a result stays locked until the step of a killed harness is gone.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.2


class Cancelled(Exception):
    """The run was stopped while a step waited for its turn."""


@contextmanager
def locked(lock_files: Sequence[Path], title: str, cancel_fd: int | None) -> Iterator[list[int]]:
    """Hold the locks, taken in the order given; yields their descriptors.

    Another process that holds one is waited for. Raises Cancelled when `cancel_fd` becomes readable meanwhile.
    """
    descriptors: list[int] = []
    try:
        for lock_file in lock_files:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            descriptors.append(os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            _acquire(descriptors[-1], title, cancel_fd)
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _acquire(descriptor: int, title: str, cancel_fd: int | None) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                print(f"waiting for another run that works on the same result: {title}", file=sys.stderr)
                told = True
        watched = [] if cancel_fd is None else [cancel_fd]
        if select.select(watched, [], [], _POLL_SECONDS)[0]:
            raise Cancelled
