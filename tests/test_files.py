import errno
import hashlib
import json
import math
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.errors import InputError, describe_os_error
from genies.files import (
    MAX_BYTES,
    MAX_DEPTH,
    open_regular,
    read_json,
    sha256_of_file,
    write_bytes,
    write_json,
    write_text,
)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Writing


def test_a_file_is_written_replaced_and_its_folders_are_made(tmp_path) -> None:
    path = tmp_path / "a" / "b" / "räven 1%.csv"
    write_text(path, "öne\r\n")
    assert path.read_bytes() == "öne\r\n".encode()
    write_bytes(path, b"")
    assert path.read_bytes() == b""
    assert listing(path.parent) == [path.name]


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        # Half a character is no text: it is refused where it is read.
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=8,
    )
)
def test_json_comes_back_as_it_was_written(tmp_path_factory, value) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path, "value") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_json_is_never_written(tmp_path, value) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": [value]})
    assert (listing(tmp_path), read_json(tmp_path / "a.json", "a")) == (["a.json"], 1)


def test_the_longest_file_name_can_be_written(tmp_path) -> None:
    for name in ("x" * 255, "ä" * 127, "問" * 85):
        write_text(tmp_path / name, "1")
        assert (tmp_path / name).read_text() == "1"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002, 0o000])
def test_permissions_follow_the_umask_of_the_moment(tmp_path, mask) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "1")
        (tmp_path / "plain").write_text("1")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_many_threads_may_write_one_file_and_leave_the_umask_alone(tmp_path) -> None:
    path, contents = tmp_path / "file", [bytes([65 + number]) * 50_000 for number in range(4)]

    def write_often(content: bytes) -> None:
        for _ in range(15):
            write_bytes(path, content)

    before = os.umask(0o027)
    try:
        threads = [threading.Thread(target=write_often, args=[content]) for content in contents]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert not path.exists() or path.read_bytes() in contents
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (listing(tmp_path), path.stat().st_mode & 0o777) == (["file"], 0o640)


def test_a_file_in_the_way_of_a_folder_and_a_folder_in_the_way_of_a_file_are_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot write file/a\.csv: file is not a folder"):
        write_text(Path("file/a.csv"), "1")
    for path in (Path("folder"), Path(), Path("..")):
        with pytest.raises(InputError, match="it is a folder; expected the name of a file"):
            write_text(path, "1")
    assert listing(tmp_path) == ["file", "folder"]
    assert listing(tmp_path / "folder") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_may_not_be_written_is_an_environment_fault(tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "a", "1")
    assert "permission denied" in (describe_os_error(caught.value) or "")


def run_python(code: str, *arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def prepare() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", code, *arguments], preexec_fn=prepare, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("size", [5_000, 100_000, 3_000_000])
def test_a_file_size_limit_keeps_the_old_content_and_leaves_no_part_behind(tmp_path, size) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    code = (
        "import sys; from pathlib import Path\n"
        "from genies.errors import run_command; from genies.files import write_text\n"
        "run_command(lambda: write_text(Path(sys.argv[1]), 'x' * int(sys.argv[2])))"
    )
    ended = run_python(code, str(path), str(size), limit=4096)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "the file size limit is reached" in ended.stderr
    assert (listing(tmp_path), path.read_text()) == (["table.csv"], "old")


WRITER = """
import sys
from pathlib import Path
from genies.files import write_json
path = Path(sys.argv[1])
number = 0
while True:
    number += 1
    write_json(path, {"number": number, "filling": [number] * 50_000})
    if number == 1:
        print("started", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path) -> None:
    path = tmp_path / "value.json"
    for round_ in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        until = time.monotonic() + 0.02 + 0.013 * round_
        while time.monotonic() < until:
            value = json.loads(path.read_bytes())
            assert value["filling"] == [value["number"]] * 50_000
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        value = read_json(path, "value")
        assert value["filling"] == [value["number"]] * 50_000
    strays = [name for name in listing(tmp_path) if name != "value.json"]
    assert all(name.startswith(".value.json.") and name.endswith(".partial") for name in strays)


# Reading


def test_depth_is_bounded_so_that_what_is_read_can_be_shown_and_written(tmp_path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    value = read_json(path, "value")
    repr(value)
    write_json(path, value)
    assert read_json(path, "value") == value
    path.write_text("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    with pytest.raises(InputError, match="nested too deep"):
        read_json(path, "value")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1, "a": 1}', ""),
        ('[0, {"b": {"a": 1, "a": 2}}]', ", at 1.b"),
        ('{"x": {"a": 1, "a": 1}, "a": 1, "a": 2}', ""),
        ('[{"a": {"c": 1, "c": 2}, "a": 3}]', ", at 0"),
        ('{"a" : 1, "a"\t:\n2}', ""),
        ('{"a": "b\\": c", "a": 2}', ""),
    ],
)
def test_a_key_that_stands_twice_is_named_with_its_place(tmp_path, text, place) -> None:
    path = tmp_path / "value.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_json(path, "shift file")
    assert str(caught.value).startswith(f"shift file {path}{place}: the key 'a' occurs twice")


@pytest.mark.parametrize(
    "text",
    [
        '{"a" : "b\\": c", "\\"" : {"a": [{"a": 1}]}}',
        '["\\ud83d\\ude00", "\\ud800", 1e400, -0, -0.0, 1E5, NaN, -Infinity, 1e-400]',
        f"[{10**30}, {-(2**63) - 1}, 0.1000000000000000055511151231257827, 9007199254740993.0]",
    ],
)
def test_json_is_read_as_the_standard_library_reads_it(tmp_path, text) -> None:
    path = tmp_path / "value.json"
    path.write_text(text)
    assert repr(read_json(path, "value")) == repr(json.loads(text))


def test_a_name_no_file_can_have_does_not_exist() -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_json(Path("a\0b"), "value")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_with_a_message(tmp_path_factory, data) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(data)
    try:
        read_json(path, "value")
        message = str(path)
    except InputError as error:
        message = str(error)
    assert str(path) in message


def test_sha256_is_that_of_the_content(tmp_path) -> None:
    data = os.urandom(300_000)
    write_bytes(tmp_path / "a", data)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EEXIST]
)
def test_faults_a_person_can_mend_are_described_with_the_path(number) -> None:
    assert "/there" in (describe_os_error(OSError(number, "x", "/here", None, "/there")) or "")
    assert "/here" in (describe_os_error(OSError(number, "x", "/here")) or "")
    copied = shutil.Error([("/here", "/there", str(OSError(number, "x", "/here")))])
    assert describe_os_error(copied) == describe_os_error(OSError(number, "x"))


def test_other_faults_are_not_described() -> None:
    assert describe_os_error(OSError(errno.EBADF, "x")) is None
    assert describe_os_error(OSError("no number")) is None


# Files that are no files


def special(folder: Path) -> dict[str, Path]:
    """A path of each kind that is neither a file nor a folder."""
    os.mkfifo(folder / "pipe.json")
    socket.socket(socket.AF_UNIX).bind(str(folder / "socket.json"))
    (folder / "link.json").symlink_to(folder / "pipe.json")
    return {
        "a named pipe": folder / "pipe.json",
        "a socket": folder / "socket.json",
        "a device": Path("/dev/zero"),
        "a named pipe;": folder / "link.json",
    }


@pytest.mark.parametrize("read", [open_regular, sha256_of_file, lambda path: read_json(path, "file")])
def test_what_is_neither_a_file_nor_a_folder_is_refused_and_not_waited_for(tmp_path, read) -> None:
    for kind, path in special(tmp_path).items():
        with pytest.raises(InputError, match=f"is {kind}"):
            read(path)


def test_a_device_is_not_replaced_by_a_file(tmp_path) -> None:
    for path in special(tmp_path).values():
        before = path.stat()
        with pytest.raises(InputError, match="expected the name of a file"):
            write_text(path, "text")
        assert path.stat() == before


def test_a_file_too_long_to_be_read_is_refused_before_it_is_read(tmp_path) -> None:
    path = tmp_path / "long.json"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(InputError, match="longer than"):
        read_json(path, "evaluation")
