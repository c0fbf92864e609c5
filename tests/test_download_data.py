"""download_data.py as a person runs it: from a server, from a file, killed, cut off, on a full disk."""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def command(*items: object) -> list[str]:
    return [sys.executable, str(ROOT / "download_data.py"), *map(str, items)]


def download_data(*items: object, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*items), capture_output=True, text=True, check=False, preexec_fn=before, cwd="/")


def one_message(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 2, ended
    assert ended.stderr.count("error:") == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def archive_bytes(names: list[str], examples: int = 40) -> bytes:
    draw = random.Random(0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            split = json.dumps(
                [
                    {"prompt": f"{draw.random()} {'long ' * 50}", "responses": {"yes": 1.0, "no": 0.0}}
                    for _ in range(examples)
                ]
            ).encode()
            for file, data in (("train.json", split), ("test.json", split), ("metadata.json", b"{}")):
                info = tarfile.TarInfo(f"distributions/{name}/{file}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


NAMES = [f"topic_{i:02}" for i in range(12)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "data.tar"
    path.write_bytes(archive_bytes(NAMES))
    return path


@pytest.fixture
def slow_server(archive: Path) -> Iterator[tuple[str, list[str | None]]]:
    """A server with ranges that takes about a second for the archive; the Range headers it was sent."""
    seen: list[str | None] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            seen.append(asked)
            data = archive.read_bytes()
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(data) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            step = len(data) // 40
            for position in range(start, len(data), step):
                try:
                    self.wfile.write(data[position : position + step])
                except OSError:
                    return
                time.sleep(0.02)

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}/data.tar", seen
    http.shutdown()
    thread.join()
    http.server_close()


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_an_archive_is_installed_and_a_second_run_says_all_is_there(archive: Path, tmp_path: Path) -> None:
    first = download_data("--archive", archive, "--distributions_dir", f"{tmp_path}/new/dist/")
    assert first.returncode == 0, first.stderr
    assert first.stdout.split("\n")[2].split() == ["installed", "12", "480", "480"]
    assert entries(tmp_path / "new" / "dist") == NAMES
    second = download_data("--archive", archive, "--distributions_dir", tmp_path / "new" / "dist")
    assert second.returncode == 0
    assert second.stdout.split("\n")[2].split() == ["already", "there", "12", "480", "480"]


def test_a_kept_distribution_is_named(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "topic_03").mkdir()
    (tmp_path / "topic_03" / "train.json").write_text("mine")
    ended = download_data("--archive", archive, "--distributions_dir", tmp_path)
    assert ended.returncode == 0
    assert "topic_03 differs from the archive's" in ended.stdout
    assert (tmp_path / "topic_03" / "train.json").read_text() == "mine"


def test_an_invalid_distribution_ends_with_status_2(tmp_path: Path) -> None:
    data = archive_bytes(["good", "bad"], examples=2).replace(b'"no": 0.0', b'"no": 7.0')
    (tmp_path / "a.tar").write_bytes(data)
    ended = download_data("--archive", tmp_path / "a.tar", "--distributions_dir", tmp_path / "d")
    assert ended.returncode == 2
    assert "bad/train.json, example 0, field responses: expected every label to be 1.0 (best) or 0.0" in ended.stderr
    assert visible(tmp_path / "d") == []


def test_a_wrong_sha256_is_refused(archive: Path, tmp_path: Path) -> None:
    ended = download_data("--archive", archive, "--sha256", "0" * 64, "--distributions_dir", tmp_path / "d")
    assert f"expected sha256 {'0' * 64}, got " in one_message(ended)
    assert "64 hexadecimal digits" in one_message(download_data("--archive", archive, "--sha256", "abc"))
    assert not (tmp_path / "d").exists()


def test_a_closed_network_is_one_message_with_the_way_out(tmp_path: Path) -> None:
    ended = download_data("--url", "http://127.0.0.1:1/data.tar", "--distributions_dir", tmp_path)
    message = one_message(ended)
    assert "http://127.0.0.1:1/data.tar" in message
    assert "--archive FILE" in message


def test_a_full_disk_is_one_message_and_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    ended = download_data("--archive", archive, "--distributions_dir", tmp_path / "d", before=limit)
    assert "file size limit" in one_message(ended)
    assert entries(tmp_path / "d") == []
    assert download_data("--archive", archive, "--distributions_dir", tmp_path / "d").returncode == 0


def test_a_killed_download_goes_on_where_it_was_and_is_not_repeated_when_done(
    slow_server: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    url, seen = slow_server
    items = ("--url", url, "--distributions_dir", tmp_path)
    part = tmp_path / ".genies_download" / "archive.partial"
    process = subprocess.Popen(command(*items), stdout=subprocess.DEVNULL, cwd="/")
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    came = part.stat().st_size
    assert visible(tmp_path) == []
    ended = download_data(*items)
    assert ended.returncode == 0, ended.stderr
    assert visible(tmp_path) == NAMES
    assert seen == [None, f"bytes={came}-"]
    assert entries(tmp_path / ".genies_download") == ["record.json"]
    again = download_data(*items)
    assert "already there" in again.stdout
    assert len(seen) == 2
    (tmp_path / NAMES[0] / "test.json").unlink()
    assert download_data(*items).returncode == 0
    assert len(seen) == 3


def test_ctrl_c_ends_with_130_and_keeps_what_came(slow_server: tuple[str, list[str | None]], tmp_path: Path) -> None:
    url, _ = slow_server
    part = tmp_path / ".genies_download" / "archive.partial"
    argv = command("--url", url, "--distributions_dir", tmp_path)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130
    assert message.startswith("interrupted")
    assert part.stat().st_size > 0


def test_a_kill_at_any_moment_leaves_whole_distributions_only(tmp_path: Path) -> None:
    archive = tmp_path / "data.tar.gz"
    archive.write_bytes(gzip.compress(archive_bytes(NAMES, examples=600), 1))
    whole = tmp_path / "whole"
    assert download_data("--archive", archive, "--distributions_dir", whole).returncode == 0
    folder = tmp_path / "killed"
    for delay in (0.2, 0.3, 0.4, 0.5, 0.6):
        process = subprocess.Popen(
            command("--archive", archive, "--distributions_dir", folder), stdout=subprocess.DEVNULL
        )
        time.sleep(delay)
        process.kill()
        process.wait()
        for name in visible(folder) if folder.exists() else []:
            for file in ("train.json", "test.json", "metadata.json"):
                assert (folder / name / file).read_bytes() == (whole / name / file).read_bytes()
    assert download_data("--archive", archive, "--distributions_dir", folder).returncode == 0
    assert visible(folder) == entries(folder) == NAMES


@pytest.mark.parametrize("items", [["--archive", "/no/such.tar"], ["--archives", "x"], ["file.tar"]])
def test_wrong_arguments_are_one_message(items: list[str], tmp_path: Path) -> None:
    one_message(download_data(*items, *(["--distributions_dir", tmp_path] if "--archive" in items else [])))
