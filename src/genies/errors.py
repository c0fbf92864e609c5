"""How a command ends: one readable message and an exit status, never a traceback for bad input."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable

BAD_INPUT = 2
"""Exit status of a command that was given something it cannot work with."""

INTERRUPTED = 130
"""Exit status of a command stopped with Ctrl-C (128 + SIGINT)."""


class InputError(Exception):
    """Something a person gave (a file, a folder, an argument, a disk) cannot be worked with.

    The message says what was expected, what was found, where, and what to do.
    """


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
}


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a folder name may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    try:
        status = command() or 0
        _flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        status = INTERRUPTED
    except BrokenPipeError:
        status = 1  # the reader of our output has gone (`| head`): nobody is left to tell
    except OSError as error:
        description = describe_os_error(error)
        if description is None:
            raise
        print(f"error: {description}", file=sys.stderr)
        status = BAD_INPUT
    try:
        _flush()
    except OSError:
        # Point standard output elsewhere, or the interpreter's own last flush complains and changes the status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _flush() -> None:
    if sys.stdout is not None:  # a shell's `>&-` leaves none
        sys.stdout.flush()
