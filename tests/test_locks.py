"""Locks between real processes, with flock and where the file system refuses it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genies import locks
from genies.errors import InputError
from genies.locks import Lock, alone, is_held

REFUSE = """
import errno, fcntl, os
def refuse(descriptor, kind): raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = refuse  # as NFS mounted without locks
"""
QUICK = "from genies import locks; locks.BEAT_SECONDS, locks.ABANDONED_SECONDS = 0.1, 3.0"
HOLD = f"""
import pathlib, sys, time
{QUICK}
lock = locks.Lock(pathlib.Path(sys.argv[1]))
assert lock.try_acquire()
print("held", flush=True)
sys.stdin.read()
lock.release()
"""
ADD = """
import pathlib, sys, time
from genies import locks
path = pathlib.Path(sys.argv[1])
for _ in range(20):
    lock = locks.Lock(path)
    while not lock.try_acquire():
        time.sleep(0.001)
    number = int((path.parent / "number").read_text())
    time.sleep(0.001)
    (path.parent / "number").write_text(str(number + 1))
    lock.release(delete=sys.argv[2] == "delete")
"""

both_ways = pytest.mark.parametrize("refused", [False, True], ids=["flock", "refused"])


@contextmanager
def holding(path: Path, refused: bool) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input is closed."""
    code = (REFUSE if refused else "") + HOLD
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@pytest.fixture
def maybe_refused(refused: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if refused:

        def refuse(descriptor: int, kind: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(locks, "ABANDONED_SECONDS", 3.0)
    return refused


def waited(lock: Lock, seconds: float = 20) -> float:
    """Seconds until the lock is acquired."""
    started = time.monotonic()
    while not lock.try_acquire():
        assert time.monotonic() - started < seconds
        time.sleep(0.02)
    return time.monotonic() - started


@both_ways
def test_a_lock_is_held_by_one_process_until_it_releases_it(tmp_path, maybe_refused) -> None:
    path = tmp_path / "a.lock"
    lock = Lock(path)
    with holding(path, maybe_refused) as other:
        until = time.monotonic() + 4  # longer than a lock file that nobody changes would stay
        while time.monotonic() < until:
            assert not lock.try_acquire()
            assert is_held(path)
            time.sleep(0.05)
        assert other.stdin is not None
        other.stdin.close()
        waited(lock)
    assert is_held(path)
    lock.release()
    assert not is_held(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.lock"]


@both_ways
def test_the_lock_of_a_killed_process_can_be_taken(tmp_path, maybe_refused) -> None:
    lock = Lock(tmp_path / "a.lock")
    with holding(tmp_path / "a.lock", maybe_refused) as other:
        assert not lock.try_acquire()
        other.kill()
        other.wait()
        took = waited(lock)
        assert took > 2 if maybe_refused else took < 5
    lock.release()
    assert [each.name for each in tmp_path.iterdir()] == ["a.lock"]


@both_ways
@pytest.mark.parametrize("way", ["keep", "delete"])
def test_of_many_processes_one_at_a_time_holds_a_lock(tmp_path, refused, way) -> None:
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", (REFUSE if refused else "") + ADD, tmp_path / "a.lock", way]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [each.wait(timeout=120) for each in running] == [0] * 4
    assert (tmp_path / "number").read_text() == "80"


def test_of_several_processes_that_wait_for_a_dead_one_a_single_one_takes_its_place(tmp_path) -> None:
    (tmp_path / "number").write_text("0")
    (tmp_path / "a.lock.held").write_text("")  # its holder was killed before it wrote its name
    (tmp_path / "a.lock").write_text("")
    command = [sys.executable, "-c", REFUSE + QUICK + ADD, tmp_path / "a.lock", "keep"]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [each.wait(timeout=120) for each in running] == [0] * 4
    assert (tmp_path / "number").read_text() == "80"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.lock", "number"]


@pytest.mark.parametrize("refused", [True])
def test_a_process_that_was_stopped_for_too_long_says_so_and_leaves_the_lock_to_the_other(
    tmp_path, maybe_refused, capfd
) -> None:
    lock = Lock(tmp_path / "a.lock")
    with holding(tmp_path / "a.lock", refused=True) as other:
        other.send_signal(signal.SIGSTOP)
        waited(lock)
        other.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        said = ""
        while "was taken over" not in said and time.monotonic() < deadline:
            said += capfd.readouterr().err
            time.sleep(0.05)
        assert other.stdin is not None
        other.stdin.close()
        other.wait(timeout=20)
    assert "was taken over" in said
    assert is_held(tmp_path / "a.lock")
    lock.release()


@pytest.mark.parametrize("refused", [True])
def test_refused_locks_are_told_once_for_each_folder(tmp_path, maybe_refused, capsys) -> None:
    for name in ("a.lock", "b.lock"):
        with alone(tmp_path / name, "busy"):
            pass
    said = capsys.readouterr().err
    assert said.count(str(tmp_path)) == said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@both_ways
def test_a_lock_that_nobody_waits_for_refuses_a_second_holder(tmp_path, maybe_refused) -> None:
    busy = pytest.raises(InputError, match="wait for it")
    with holding(tmp_path / "a.lock", maybe_refused), busy, alone(tmp_path / "a.lock", "wait for it"):
        raise AssertionError
    assert (tmp_path / "a.lock").exists()  # it is the other's


def test_any_other_fault_of_a_lock_is_not_taken_for_a_refusal(tmp_path, monkeypatch) -> None:
    def fail(descriptor: int, kind: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="Input/output"):
        Lock(tmp_path / "a.lock").try_acquire()
