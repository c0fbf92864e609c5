"""How a command ends: one readable message and an exit status, never a traceback for bad input."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from genies.spelling import spelled
from genies.terminal import Screen

BAD_INPUT = 2
"""Exit status of a command that was given something it cannot work with."""

INTERRUPTED = 130
"""Exit status of a command stopped with Ctrl-C (128 + SIGINT)."""

INTERRUPTED_MESSAGE = "interrupted; run the same command again to go on from here"


class InputError(Exception):
    """Something a person gave (a file, a folder, an argument, a disk) cannot be worked with.

    The message says what was expected, what was found, where, and what to do.
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
    errno.E2BIG: "a command line became too long; ask for fewer distributions at a time, or use shorter paths",
    errno.ENAMETOOLONG: "the name is too long for this file system; use shorter names",
    errno.ENOTDIR: "a part of the path is a file where a folder was expected",
    errno.EEXIST: "a file lies where a folder was expected",
    errno.EISDIR: "a folder lies where a file was expected",
    errno.ELOOP: "symbolic links lead in a circle; remove them",
    errno.EAGAIN: "no more processes or threads can be started; end some, or raise the limit (ulimit -u), and run the "
    "same command again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) and run the same command again",
    errno.ENFILE: "the system has too many files open; end some programs and run the same command again",
    errno.ENOMEM: "the system is out of memory; end some programs and run the same command again",
}

_NO_THREAD = "can't start new thread"
"""What Python says, in a RuntimeError without a number, when the system refuses a thread."""


def describe_os_error(error: OSError) -> str | None:
    """One sentence for an operating-system fault a person can mend, None for any other."""
    advice = _ENVIRONMENT_FAULTS.get(error.errno or 0)
    if advice is None:
        return None
    where = error.filename2 or error.filename
    return f"cannot use {where}: {advice}" if where else advice


def run_command(command: Callable[[], int | None]) -> None:
    """Run the body of a command and leave the process with its exit status.

    InputError and mendable operating-system faults become one line on standard error and status 2,
    Ctrl-C becomes status 130. Anything else is a defect of ours and keeps its traceback.
    """
    _open_closed_streams()
    _catch_interrupts()
    # Streams of other types are a test's or a notebook's own. What is piped to another program stays as it is.
    if type(sys.stdout) is io.TextIOWrapper:
        if sys.stdout.isatty():
            sys.stdout = Screen(sys.stdout)
        else:
            sys.stdout.reconfigure(errors="backslashreplace")  # a folder name may hold bytes that are no text
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
        status = 1  # the reader of our output has gone (`| head`): nobody is left to tell
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
            # Point the stream elsewhere, or the interpreter's own last flush complains and changes the status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def _open_closed_streams() -> None:
    """Put the null device where a program started us without a standard stream (`2>&-` in a shell).

    Otherwise the next file that is opened takes the free number, and what goes to standard error ends up in it.
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


def _catch_interrupts() -> None:
    """Have Ctrl-C raise KeyboardInterrupt from now on; until here the command's first import answered it.

    A job in the background of a shell, which ignores Ctrl-C, goes on ignoring it.
    """
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with contextlib.suppress(ValueError):  # in an interpreter inside another program
            signal.signal(signal.SIGINT, signal.default_int_handler)
