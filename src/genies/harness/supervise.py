"""A small process between the harness and a step that ends the step whenever the harness is gone.

    python -I -S supervise.py REPORT_FD TIMEOUT GRACE LOG_FILE -- argv...

Standard input is the life line: when it closes (the harness cancelled the step, ended, or was killed with
SIGKILL) the step's processes get SIGTERM and, GRACE seconds later, SIGKILL. The same happens after TIMEOUT
seconds (0: never). Whatever the step leaves running when it ends, a daemon included, is killed, so that nothing
writes into its folders afterwards. One line of JSON on REPORT_FD tells how it ended:
{"returncode": int, "timed_out": bool, "cancelled": bool}, or {"error": text} when it could not be started.

Only the standard library is used, and `-I -S` keeps the start under 20 ms.
"""

import contextlib
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

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_WAIT = 3600.0


def main() -> None:
    report_fd, timeout, grace = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    log_file, argv = sys.argv[4], sys.argv[6:]
    # The step must not hold the report open: a daemon of it would keep the harness waiting.
    os.set_inheritable(report_fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prctl = process_control()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the step, daemons say, become ours and can be found

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # should this process be killed, its step goes with it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    try:
        with open(log_file, "ab") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, preexec_fn=in_child
            )
    except (OSError, ValueError) as error:
        report(report_fd, {"error": str(error)})
        return

    deadline = time.monotonic() + timeout if timeout else None
    timed_out = cancelled = False
    while child.poll() is None:
        remaining = None if deadline is None else min(_LONGEST_WAIT, max(0.0, deadline - time.monotonic()))
        ready, _, _ = select.select([0, woken], [], [], remaining)
        if woken in ready:
            os.read(woken, 4096)
        cancelled = 0 in ready
        timed_out = deadline is not None and time.monotonic() >= deadline and child.poll() is None
        if cancelled or timed_out:
            end(child, grace)
            break
    kill_remains(child.pid)
    report(report_fd, {"returncode": child.returncode, "timed_out": timed_out, "cancelled": cancelled})


def process_control() -> "Callable[[int, int], object]":
    """Linux's prctl; elsewhere something that does nothing."""
    if sys.platform != "linux":
        return lambda option, value: None
    import ctypes

    function = ctypes.CDLL(None).prctl
    return lambda option, value: function(option, value, 0, 0, 0)


def end(child: "subprocess.Popen[bytes]", grace: float) -> None:
    """SIGTERM to the step's process group, SIGKILL after `grace` seconds."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


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
