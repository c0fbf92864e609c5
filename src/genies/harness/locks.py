"""Who works on a result, and until when: the locks of a step.

Their descriptors are handed to the step's supervisor, so that a result stays locked until the step of a killed harness
is gone. Where the file system has no such locks, a killed harness's are taken over only after its steps have ended.
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
    """The run was stopped while a step waited for its turn."""


@contextmanager
def locked(lock_files: Sequence[Path], title: str, cancel_fd: int | None) -> Iterator[list[int]]:
    """Hold the locks, taken in the order given; yields their descriptors.

    Another process that holds one is waited for. Raises Cancelled when `cancel_fd` becomes readable meanwhile.
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
    told = False
    while not lock.try_acquire():
        if not told:
            print(f"waiting for another run that works on the same result: {title}", file=sys.stderr)
            told = True
        watched = [] if cancel_fd is None else [cancel_fd]
        if select.select(watched, [], [], _POLL_SECONDS)[0]:
            raise Cancelled


def check_lock_folder(folder: Path, argument: str) -> None:
    """InputError, before anything runs, when no step could take a lock below `folder`, which `argument` names."""
    locks = folder / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        writable = os.access(locks, os.W_OK | os.X_OK)
    except FileExistsError:
        raise InputError(f"{locks} is no folder; delete it, or name another folder with --{argument}") from None
    except PermissionError:
        writable = False
    if not writable:
        raise InputError(
            f"{locks} cannot be written to (permissions, or a read-only file system), and a step takes its lock there; "
            f"name a folder that can be written to with --{argument}"
        )
