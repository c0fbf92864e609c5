"""The locks of a job's results.

The job's supervisor inherits their descriptors, so that a result stays locked until the job of a killed harness has
ended. On file systems without such locks, those of a killed harness are taken over only after its jobs have ended.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from genies.errors import InputError
from genies.locks import Lock

_POLL_SECONDS = 0.2


class Cancelled(Exception):
    """The run was stopped while a job waited for a lock."""


@contextmanager
def locked(lock_files: Sequence[Path], title: str, cancel_fd: int | None) -> Iterator[list[int]]:
    """Acquire the locks in the order given, waiting for other processes, and release them at the end.

    Yields their descriptors. Raises Cancelled if `cancel_fd` becomes readable while it waits.
    """
    locks = [Lock(lock_file) for lock_file in lock_files]
    try:
        for lock_file, lock in zip(lock_files, locks, strict=True):
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            _acquire(lock, title, cancel_fd)
        yield [lock.descriptor for lock in locks if lock.descriptor is not None]
    finally:
        for lock in locks:
            lock.release()


def _acquire(lock: Lock, title: str, cancel_fd: int | None) -> None:
    reported = False
    while not lock.try_acquire():
        if not reported:
            print(f"waiting for another run that works on the same result: {title}", file=sys.stderr)
            reported = True
        watched = [] if cancel_fd is None else [cancel_fd]
        if select.select(watched, [], [], _POLL_SECONDS)[0]:
            raise Cancelled


def check_lock_folder(folder: Path, argument: str) -> None:
    """InputError if no lock can be created below `folder`, which `argument` names."""
    locks = folder / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        writable = os.access(locks, os.W_OK | os.X_OK)
    except FileExistsError:
        raise InputError(f"{locks} is not a folder; delete it, or name another folder with --{argument}") from None
    except PermissionError:
        writable = False
    if not writable:
        raise InputError(
            f"{locks} is not writable (permissions, or a read-only file system), and jobs create their locks there; "
            f"name a writable folder with --{argument}"
        )
