"""An exclusive lock between processes, also on file systems that do not support locks.

The lock uses `flock` if possible: the operating system releases it when the last process with the descriptor ends. If
the file system refuses `flock`, as NFS mounted without locks does (ENOLCK), the lock is a file that only one process
can create. The owner changes it every few seconds. A lock file that has not changed for a while belongs to a killed
process, and another process takes it over. All machines that share a folder must mount it in the same way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from genies.errors import InputError
from genies.files import open_regular

BEAT_SECONDS = 10.0
"""How often the owner of a lock file changes it."""

ABANDONED_SECONDS = 90.0
"""A lock file that has not changed for this long is taken over. Each process measures this with its own clock."""

_REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_HELD_BY_OTHERS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})

_reported: set[Path] = set()

_POLL_SECONDS = 0.2


class Lock:
    """An exclusive lock between processes on the file `path`, whose folder must exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beating = _BeatingFile(path.with_name(f"{path.name}.held"))
        self.descriptor: int | None = None
        """Set while the lock is held. A child process that inherits it also holds the lock, if `flock` is supported."""

    def try_acquire(self) -> bool:
        """Acquire the lock. Returns False if another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            acquired = _flock(descriptor)
            if acquired is None:
                _report_refusal(self._path)
                acquired = self._beating.try_create()
            # The previous owner may have deleted the file, and another process may already have locked a new one.
            acquired = acquired and _is_at(self._path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if acquired:
            self.descriptor = descriptor
        else:
            os.close(descriptor)
            self._beating.delete()
        return acquired

    def release(self, delete: bool = False) -> None:
        """Release the lock if it is held; with `delete`, also delete its file."""
        if self.descriptor is None:
            return
        if delete:
            self._path.unlink(missing_ok=True)
        self._beating.delete()
        os.close(self.descriptor)
        self.descriptor = None


def is_held(path: Path) -> bool:
    """Whether any process holds the lock on an existing file."""
    with open_regular(path) as file:
        free = _flock(file.fileno(), fcntl.LOCK_SH)
    return path.with_name(f"{path.name}.held").exists() if free is None else not free


@contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock without waiting. Raises InputError with the message `busy` if another process holds it."""
    lock = Lock(path)
    if not lock.try_acquire():
        raise InputError(busy)
    try:
        yield
    finally:
        lock.release(delete=True)


def _flock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Whether the lock was acquired; None if the file system does not support locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _REFUSED:
            return None
        if error.errno in _HELD_BY_OTHERS:
            return False
        raise
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _report_refusal(path: Path) -> None:
    if path.parent not in _reported:
        _reported.add(path.parent)
        print(
            f"the file system of {path.parent} refuses locks (flock): lock files are used instead; after a killed "
            f"run, the next one waits {ABANDONED_SECONDS:.0f} s",
            file=sys.stderr,
        )


class _BeatingFile:
    """A file that only one process can create, and that this process changes regularly as long as it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = f"{secrets.token_hex(8)} {socket.gethostname()} {os.getpid()}"
        self._ended: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._seen: bytes | None = None
        self._since = 0.0
        self._takeovers = 0

    def try_create(self) -> bool:
        """Create the file for this process. Returns False if another running process owns it."""
        try:
            self._write(self._path, 0, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            if not self._take_over():
                return False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(self._ended,), daemon=True, name="lock")
        try:
            self._thread.start()
        except RuntimeError:
            self._path.unlink(missing_ok=True)
            raise
        return True

    def delete(self) -> None:
        """Delete the file if this process owns it."""
        if self._ended is None or self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)
        self._ended = self._thread = None

    def _take_over(self) -> bool:
        """Replace an abandoned file by one of this process.

        If several processes wait for the same file, the one that creates the claim file replaces it.
        """
        seen = self._read()
        now = time.monotonic()
        if seen is None or seen != self._seen:
            self._seen, self._since, self._takeovers = seen, now, 0
            return False
        if now - self._since < ABANDONED_SECONDS:
            return False
        digest = hashlib.sha256(seen).hexdigest()[:16]
        claim = self._path.with_name(f"{self._path.name}.{digest}-{self._takeovers}.claim")
        try:
            self._write(claim, 0, os.O_CREAT | os.O_EXCL)
        except FileExistsError:  # if its owner was killed too and nothing changes, the next claim is tried
            self._since, self._takeovers = now, self._takeovers + 1
            return False
        try:
            if self._read() != seen:
                return False
            claim.replace(self._path)
        finally:
            claim.unlink(missing_ok=True)
        return True

    def _beat(self, ended: threading.Event) -> None:
        number = 0
        while not ended.wait(BEAT_SECONDS):
            number += 1
            with contextlib.suppress(OSError):  # server unreachable: other processes cannot see the file either
                if not self._is_mine():
                    print(f"lock file {self._path} was taken over: this run was paused too long", file=sys.stderr)
                    return
                self._write(self._path, number)

    def _is_mine(self) -> bool:
        return (self._read() or b"").startswith(self._token.encode())

    def _read(self) -> bytes | None:
        # Opening the file each time makes NFS ask the server.
        try:
            with open_regular(self._path) as file:
                return file.read(1000)
        except FileNotFoundError:
            return None

    def _write(self, path: Path, number: int, flags: int = 0) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
        try:
            os.pwrite(descriptor, f"{self._token} {number:>12}\n".encode(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Cancelled(Exception):
    """The run was stopped while a job waited for a lock."""


@contextmanager
def locked(lock_files: Sequence[Path], title: str, cancel_fd: int | None) -> Iterator[list[int]]:
    """Acquire the locks in the order given, waiting for other processes, and release them at the end.

    Yields their descriptors. A job's supervisor inherits them, so that a result stays locked until the job of a killed
    harness has ended; lock files of a killed harness are taken over only after that. Raises Cancelled if `cancel_fd`
    becomes readable while it waits.
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
            print(f"waiting for another run that works on the same model or result: {title}", file=sys.stderr)
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
