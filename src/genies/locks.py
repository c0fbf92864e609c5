"""A lock that one process at a time holds, also on file systems that refuse locks.

`flock` is the first choice: the operating system releases it when the last process with the descriptor ends. Where a
file system refuses it, as NFS mounted without locks does (ENOLCK), the lock is a file that its holder alone can create
and changes every few seconds. One that has not changed for a while was left by a process that was killed, and is taken
over. All machines that share a folder must mount it alike.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genies.errors import InputError
from genies.files import open_regular

BEAT_SECONDS = 10.0
"""How often the holder of a lock file changes it."""

ABANDONED_SECONDS = 90.0
"""A lock file that has not changed for so long is taken over. Each process measures this by its own clock."""

_REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_HELD_BY_OTHERS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})

_told_of: set[Path] = set()


class Lock:
    """An exclusive lock between processes on the file `path`, whose folder must be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beating = _BeatingFile(path.with_name(f"{path.name}.held"))
        self.descriptor: int | None = None
        """While the lock is held: a child that inherits it holds the lock as well, unless locks are refused."""

    def try_acquire(self) -> bool:
        """Whether the lock is now held; False while another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            acquired = _flock(descriptor)
            if acquired is None:
                _tell(self._path)
                acquired = self._beating.try_create()
            # The holder before us may have deleted the file, and somebody else may hold its successor by now.
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
        """Release the lock, if it is held; with `delete`, its file goes as well."""
        if self.descriptor is None:
            return
        if delete:
            self._path.unlink(missing_ok=True)
        self._beating.delete()
        os.close(self.descriptor)
        self.descriptor = None


def is_held(path: Path) -> bool:
    """Whether any process holds the lock on a file that is there."""
    with open_regular(path) as file:
        free = _flock(file.fileno(), fcntl.LOCK_SH)
    return path.with_name(f"{path.name}.held").exists() if free is None else not free


@contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock that nobody waits for: InputError with the message `busy` while another process holds it."""
    lock = Lock(path)
    if not lock.try_acquire():
        raise InputError(busy)
    try:
        yield
    finally:
        lock.release(delete=True)


def _flock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Whether the lock was taken; None where the file system has no locks."""
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


def _tell(path: Path) -> None:
    if path.parent not in _told_of:
        _told_of.add(path.parent)
        print(
            f"the file system of {path.parent} refuses locks (flock): lock files are used instead, and one that a "
            f"killed run left is waited for, {ABANDONED_SECONDS:.0f} s",
            file=sys.stderr,
        )


class _BeatingFile:
    """A file that exactly one process can create, and that it changes as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = f"{secrets.token_hex(8)} {socket.gethostname()} {os.getpid()}"
        self._ended: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._seen: bytes | None = None
        self._since = 0.0
        self._takeovers = 0

    def try_create(self) -> bool:
        """Whether the file is now this process's own; False while another one keeps it alive."""
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
        """Give the file up, if it is this process's own."""
        if self._ended is None or self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)
        self._ended = self._thread = None

    def _take_over(self) -> bool:
        """Put a file of this process in the place of one that has not changed for long enough.

        Of several processes that wait for the same dead one, the one that creates the claim on it does so.
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
        except FileExistsError:  # by a process that ends as well, if nothing changes: then the next claim counts
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
            with contextlib.suppress(OSError):  # the server is away: others do not see the file age either
                if not self._is_mine():
                    print(f"lock file {self._path} was taken over: this run was stopped for too long", file=sys.stderr)
                    return
                self._write(self._path, number)

    def _is_mine(self) -> bool:
        return (self._read() or b"").startswith(self._token.encode())

    def _read(self) -> bytes | None:
        # Opened anew each time: that makes NFS ask the server.
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
