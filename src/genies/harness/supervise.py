"""A small process between the harness and a step that ends the step whenever the harness is gone.

    python -I -S supervise.py REPORT_FD TIMEOUT GRACE LOG_FILE READ_ONLY -- argv...

Standard input is the life line. Its first line, a JSON object of environment variables to set, starts the step: until
then this process waits, so that its own start delays no step. When it closes (the harness cancelled the step, ended,
or was killed with SIGKILL) the step's processes get SIGTERM and, GRACE seconds later, SIGKILL. The same happens after
TIMEOUT seconds (0: never). Whatever the step leaves running when it ends, a daemon included, is killed, so that
nothing writes into its folders afterwards. What it prints goes to LOG_FILE; of more than a few MiB the first and the
last. The folders in READ_ONLY, a list in JSON, cannot be written to by the step where the system lets them be closed
to it. One line of JSON on REPORT_FD tells how it ended:
{"returncode": int, "seconds": float, "timed_out": bool, "cancelled": bool}, or {"error": text} when it did not start.

Only the standard library is used, and `-I -S` keeps the start under 20 ms.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_BYTES = 4 << 20
"""Of the beginning of a step's output, and of its end, in a log that grew beyond three times that."""

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 0x1, 0x20, 0x1000, 0x4000, 0x80000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20
_MOST_BLOCKS = 64
"""A pipe holds far less; where a daemon cannot be found, it may write on for ever."""
_LONGEST_WAIT = 3600.0


def main() -> None:
    report_fd, timeout, grace = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    log_file, read_only, argv = sys.argv[4], json.loads(sys.argv[5]), sys.argv[7:]
    # The step must not hold the report open: a daemon of it would keep the harness waiting.
    os.set_inheritable(report_fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prctl = process_control()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the step, daemons say, become ours and can be found
    closing = bool(read_only) and can_close(read_only[:1])
    order = b""
    while not order.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:  # the harness went before the step's turn came
            return
        order += part

    def in_child() -> None:
        if closing:  # first, for it takes the next line's signal back
            with contextlib.suppress(OSError):  # a folder may have gone meanwhile
                close_folders(read_only)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # should this process be killed, its step goes with it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    started = time.monotonic()
    try:
        log = Log(log_file)
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log.entry,
            stderr=log.entry,
            env={**os.environ, **json.loads(order)},
            process_group=0,
            preexec_fn=in_child,
        )
    except (OSError, ValueError) as error:
        report(report_fd, {"error": str(error)})
        return
    log.close_entry()
    timed_out, cancelled = watch(child, log, woken, timeout, grace)
    seconds = time.monotonic() - started
    kill_remains(child.pid)
    log.take_rest()
    report(
        report_fd, {"returncode": child.returncode, "seconds": seconds, "timed_out": timed_out, "cancelled": cancelled}
    )


def watch(
    child: "subprocess.Popen[bytes]", log: "Log", woken: int, timeout: float, grace: float
) -> "tuple[bool, bool]":
    """Take the step's output until it ends, or end it; whether it ran out of time, and whether it was cancelled."""
    timed_out = cancelled = killed = False
    deadline = time.monotonic() + timeout if timeout else None
    while child.poll() is None:
        remaining = _LONGEST_WAIT if deadline is None else min(_LONGEST_WAIT, max(0.0, deadline - time.monotonic()))
        ending = timed_out or cancelled
        watched = [woken, *([] if ending else [0]), *([log.exit] if log.open else [])]
        ready, _, _ = select.select(watched, [], [], remaining)
        if woken in ready:
            os.read(woken, 4096)
        if log.exit in ready:
            log.take()
        over = deadline is not None and time.monotonic() >= deadline
        if ending and over and not killed:
            end(child, signal.SIGKILL)
            killed, deadline = True, None
        elif not ending and (over or 0 in ready) and child.poll() is None:
            cancelled = 0 in ready
            timed_out = not cancelled
            end(child, signal.SIGTERM)
            deadline = time.monotonic() + grace
    return timed_out, cancelled


class Log:
    """A step's output on its way from a pipe to a file, which stays short whatever the step prints."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - it is open as long as the step runs
        self._size = self._file.seek(0, os.SEEK_END)
        self._left_out = 0
        self._note = b""
        self.exit, self.entry = os.pipe()
        self.open = True
        os.set_blocking(self.exit, False)
        with contextlib.suppress(OSError):  # only faster
            fcntl.fcntl(self.exit, _F_SETPIPE_SZ, _PIPE_BYTES)

    def close_entry(self) -> None:
        os.close(self.entry)

    def take(self) -> bool:
        """Write a block of what is in the pipe, if any is; when nobody can write to it any more, it is not `open`."""
        try:
            block = os.read(self.exit, _PIPE_BYTES)
        except BlockingIOError:
            return False
        self.open = bool(block)
        # A full disk must not stop the step: it learns by itself when its own files do not fit.
        with contextlib.suppress(OSError):
            self._append(block)
            if self._size > 3 * KEPT_BYTES:
                self._leave_out_the_middle()
        return self.open

    def take_rest(self) -> None:
        """Write what is left when the step is gone."""
        blocks = 0
        while self.take() and blocks < _MOST_BLOCKS:
            blocks += 1

    def _append(self, block: bytes) -> None:
        while block:
            written = self._file.write(block) or 0
            self._size += written
            block = block[written:]

    def _leave_out_the_middle(self) -> None:
        self._file.seek(self._size - KEPT_BYTES)
        last = self._file.read(KEPT_BYTES) or b""
        self._left_out += self._size - 2 * KEPT_BYTES - len(self._note)
        self._note = b"\n[... %d bytes of output are left out here ...]\n" % self._left_out
        self._file.truncate(KEPT_BYTES)
        self._size = KEPT_BYTES
        self._append(self._note + last)


def can_close(folders: "list[str]") -> bool:
    """Whether close_folders works here, found out by a child: half of it would be worse than nothing."""
    if sys.platform != "linux":
        return False
    # The driver of a GPU that nobody has used yet is set up by a program with root's rights, which a user's own
    # namespace would not give it.
    if os.geteuid() and os.access("/dev/nvidiactl", os.F_OK) and not os.access("/dev/nvidia-uvm", os.F_OK):
        return False
    try:
        child = os.fork()
    except OSError:  # no process is to be had: the step will say so
        return False
    if not child:
        try:
            close_folders(folders)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def close_folders(folders: "list[str]") -> None:
    """Give this process a view of the file system of its own in which the folders are read-only.

    By a mount namespace, and for other users than root a user namespace in which they are who they were.
    Raises OSError where the system does not let them.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(library, name)(*arguments):
            raise OSError(ctypes.get_errno(), name)

    user, group = os.geteuid(), os.getegid()
    call("unshare", _CLONE_NEWNS if user == 0 else _CLONE_NEWNS | _CLONE_NEWUSER)
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    for folder in map(os.fsencode, folders):
        kept = os.statvfs(folder).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)  # a remount may not drop them
        call("mount", folder, folder, None, ctypes.c_ulong(_MS_BIND | _MS_REC), None)
        call("mount", None, folder, None, ctypes.c_ulong(_MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept), None)


def process_control() -> "Callable[[int, int], object]":
    """Linux's prctl; elsewhere something that does nothing."""
    if sys.platform != "linux":
        return lambda option, value: None
    import ctypes

    function = ctypes.CDLL(None).prctl
    return lambda option, value: function(option, value, 0, 0, 0)


def end(child: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to the step's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def kill_remains(group: int) -> None:
    """Kill what is left of the step's group and every process it orphaned."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    if sys.platform != "linux":
        return
    while children := list(own_children()):
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def own_children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without this file: the group is all that can be ended
        return []


def report(descriptor: int, value: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the harness is gone: nobody to tell
        os.write(descriptor, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    main()
