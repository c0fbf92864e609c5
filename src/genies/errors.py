"""How a command ends: one readable message and an exit status, never a traceback for bad input."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType
from typing import ParamSpec, TypeVar

from genies.spelling import spelled
from genies.terminal import Screen

BAD_INPUT = 2
"""Exit status of a command with invalid input."""

INTERRUPTED = 130
"""Exit status of a command that was stopped with Ctrl-C (128 + SIGINT)."""

INTERRUPTED_MESSAGE = "interrupted; run the same command again to go on from here"


class InputError(Exception):
    """Input of the user (a file, a folder, an argument, a disk) is invalid or unusable.

    The message contains what was expected, what was found, where, and what to do.
    """


P = ParamSpec("P")
T = TypeVar("T")

_FLAG = re.compile(r"(?<![\w-])--(?=[a-z])")


def speaks_of_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function of the Python API: messages of its InputErrors name arguments (`dtype`), not flags."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            raise InputError(_FLAG.sub("", str(error))) from None

    return call


_ENVIRONMENT_FAULTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file size limit is reached; raise it (ulimit -f) and run the same command again",
    errno.EROFS: "the file system is read-only; choose a folder that can be written to",
    errno.EACCES: "permission denied; check the owner and mode of the file and of its folder",
    errno.EPERM: "operation not permitted; check the owner and mode of the file and of its folder",
    errno.E2BIG: "a command line is too long; evaluate fewer distributions at a time, or use shorter paths",
    errno.ENAMETOOLONG: "the name is too long for this file system; use shorter names",
    errno.ENOTDIR: "a part of the path is a file; expected a folder",
    errno.EEXIST: "it is a file; expected a folder",
    errno.EISDIR: "it is a folder; expected a file",
    errno.ELOOP: "the path has a loop of symbolic links; remove them",
    errno.EAGAIN: "no more processes or threads can be started; end some, or raise the limit (ulimit -u), and run the "
    "same command again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) and run the same command again",
    errno.ENFILE: "the system has too many files open; end some programs and run the same command again",
    errno.ENOMEM: "the system is out of memory; end some programs and run the same command again",
}

_NO_THREAD = "can't start new thread"
"""Message of the RuntimeError that Python raises when the system refuses a thread. It has no error number."""


def describe_os_error(error: OSError) -> str | None:
    """A message for an error of the operating system that a user can fix; None for other errors."""
    number = error.errno or 0
    if isinstance(error, shutil.Error) and (found := re.search(r"\[Errno (\d+)\]", str(error))):  # of a copied folder
        number = int(found[1])
    advice = _ENVIRONMENT_FAULTS.get(number)
    if advice is None:
        return None
    where = error.filename2 or error.filename
    return f"cannot use {where}: {advice}" if where else advice


def run_command(command: Callable[[], int | None]) -> None:
    """Run the body of a command and exit with its status.

    InputError and errors of the operating system that a user can fix become one line on standard error and status 2.
    Ctrl-C becomes status 130. Any other exception is a bug and keeps its traceback.
    """
    _open_closed_streams()
    _catch_interrupts()
    # Tests and notebooks use streams of other types. Output that is piped to another program is not changed.
    if type(sys.stdout) is io.TextIOWrapper:
        if sys.stdout.isatty():
            sys.stdout = Screen(sys.stdout)
        else:
            sys.stdout.reconfigure(errors="backslashreplace")  # folder names can contain bytes that are not text
    if type(sys.stderr) is io.TextIOWrapper:
        sys.stderr = Screen(sys.stderr)
    try:
        status = command() or 0
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {spelled(str(error))}", file=sys.stderr)
        status = BAD_INPUT
    except KeyboardInterrupt:
        print(INTERRUPTED_MESSAGE, file=sys.stderr)
        status = INTERRUPTED
    except BrokenPipeError:
        status = 1  # the reader of the output has exited (`| head`)
    except OSError as error:
        description = describe_os_error(error)
        if description is None:
            raise
        print(f"error: {description}", file=sys.stderr)
        status = BAD_INPUT
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        print(f"error: {_ENVIRONMENT_FAULTS[errno.EAGAIN]}", file=sys.stderr)
        status = BAD_INPUT
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Redirect the stream. Otherwise the interpreter's last flush fails and changes the exit status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the parent process closed (`2>&-` in a shell).

    Otherwise the next opened file gets the free descriptor, and standard error is written to that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest free number
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the rest of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def interrupt_without_traceback() -> None:
    """Make Ctrl-C end this process with one line until run_command takes over.

    In the middle of an import, a KeyboardInterrupt would be a traceback or a failed import.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED_MESSAGE}\n".encode())
    os._exit(INTERRUPTED)


def _catch_interrupts() -> None:
    """Make Ctrl-C raise KeyboardInterrupt from now on; before, interrupt_without_traceback was active.

    A background job of a shell ignores Ctrl-C, and this does not change that.
    """
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with contextlib.suppress(ValueError):  # in an interpreter inside another program
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: running steps are ended and the table is written.

    In another thread than the main one, which alone can set a signal's handler, it does what it did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
