"""A small process between the harness and a job that ends the job when the harness ends.

    python -I -S supervise.py REPORT_FD TIMEOUT GRACE LOG_FILE READ_ONLY -- argv...

The first line of standard input, a JSON object of environment variables to set, starts the job; this process is started
before, so that its own start does not delay the job. When standard input closes, because the harness cancelled the job,
ended or was killed, the job's processes get SIGTERM and, GRACE seconds later, SIGKILL. The same happens after TIMEOUT
seconds (0: never). Processes that the job leaves behind, including daemons, are killed, so that nothing writes into its
folders afterwards. The job's output is written to LOG_FILE; of very long output, only its beginning and end.
The folders in READ_ONLY, a JSON list, are mounted read-only for the job where the system allows it. One line of JSON is
written to REPORT_FD at the end: {"returncode": int, "seconds": float, "timed_out": bool, "cancelled": bool}, or
{"error": text} if the job could not be started.

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
"""Size of the beginning and of the end that are kept of a log of more than three times this size."""

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 0x1, 0x20, 0x1000, 0x4000, 0x80000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20
_MOST_BLOCKS = 64
"""Far more than a pipe contains; a daemon that cannot be found might write forever."""
_LONGEST_WAIT = 3600.0


def start_program(
    argv: "list[str]", output: int, environment: "dict[str, str]", in_child: "Callable[[], None]"
) -> "subprocess.Popen[bytes]":
    """Start a program without standard input, in its own process group; `in_child` is called there first."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        process_group=0,
        preexec_fn=in_child,
    )


def run(
    arguments: "list[str]",
    start: "Callable[[list[str], int, dict[str, str], Callable[[], None]], subprocess.Popen[bytes]]" = start_program,
) -> None:
    """Supervise one job, with the command line's arguments; `start` starts it."""
    report_fd, timeout, grace = int(arguments[0]), float(arguments[1]), float(arguments[2])
    log_file, read_only, argv = arguments[3], json.loads(arguments[4]), arguments[6:]
    # The job must not inherit the report: if one of its daemons kept it open, the harness would wait for it.
    os.set_inheritable(report_fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prctl = process_control()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the job, such as daemons, become our children and can be found
    closing = bool(read_only) and can_close(read_only[:1])
    order = b""
    while not order.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:  # the harness ended before it started the job
            return
        order += part

    def in_child() -> None:
        if closing:  # before PDEATHSIG is set, because a change of credentials resets it
            with contextlib.suppress(OSError):  # a folder may have been deleted meanwhile
                close_folders(read_only)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # if this process is killed, the job is killed too
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    started = time.monotonic()
    try:
        log = Log(log_file)
        child = start(argv, log.entry, {**os.environ, **json.loads(order)}, in_child)
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
    """Log the job's output until it ends, or end it; returns (timed out, cancelled)."""
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
    """Writes a job's output from a pipe to a file of limited size."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - open as long as the job runs
        self._size = self._file.seek(0, os.SEEK_END)
        self._left_out = 0
        self._note = b""
        self.exit, self.entry = os.pipe()
        self.open = True
        os.set_blocking(self.exit, False)
        with contextlib.suppress(OSError):  # a larger pipe is only faster
            fcntl.fcntl(self.exit, _F_SETPIPE_SZ, _PIPE_BYTES)

    def close_entry(self) -> None:
        os.close(self.entry)

    def take(self) -> bool:
        """Write a block from the pipe, if it contains data; `open` is False when all writers have closed it."""
        try:
            block = os.read(self.exit, _PIPE_BYTES)
        except BlockingIOError:
            return False
        self.open = bool(block)
        # A full disk must not stop the job here: it fails itself if its own files do not fit.
        with contextlib.suppress(OSError):
            self._append(block)
            if self._size > 3 * KEPT_BYTES:
                self._leave_out_the_middle()
        return self.open

    def take_rest(self) -> None:
        """Write the rest after the job has ended."""
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
    """Whether close_folders works here, tried in a child, because it must not fail halfway in the job."""
    if sys.platform != "linux":
        return False
    # The driver of an unused GPU is initialized by a setuid program, which has no root rights in a user namespace.
    if os.geteuid() and os.access("/dev/nvidiactl", os.F_OK) and not os.access("/dev/nvidia-uvm", os.F_OK):
        return False
    try:
        child = os.fork()
    except OSError:  # too many processes: the job will report it
        return False
    if not child:
        try:
            close_folders(folders)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def close_folders(folders: "list[str]") -> None:
    """Make the folders read-only for this process, in its own mount namespace.

    Users other than root also get a user namespace with the same ids. Raises OSError if the system does not allow it.
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
        kept = os.statvfs(folder).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)  # a remount must keep them
        call("mount", folder, folder, None, ctypes.c_ulong(_MS_BIND | _MS_REC), None)
        call("mount", None, folder, None, ctypes.c_ulong(_MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept), None)


def process_control() -> "Callable[[int, int], object]":
    """Linux's prctl; elsewhere a function that does nothing."""
    if sys.platform != "linux":
        return lambda option, value: None
    import ctypes

    function = ctypes.CDLL(None).prctl
    return lambda option, value: function(option, value, 0, 0, 0)


def end(child: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to the job's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def kill_remains(group: int) -> None:
    """Kill the remaining processes of the job's group and its orphans."""
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
    except OSError:  # a kernel without this file: only the group can be killed
        return []


def report(descriptor: int, value: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the harness has ended
        os.write(descriptor, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    run(sys.argv[1:])
