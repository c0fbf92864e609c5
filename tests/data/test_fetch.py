"""Fetching over HTTP, against a real server on the loopback that breaks in the ways servers break."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genies.data.fetch import fetch
from genies.errors import InputError

BODY = random.Random(0).randbytes(700_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


@dataclass
class Server:
    """What the server does next, and what it was asked."""

    body: bytes = BODY
    etag: str | None = '"v1"'
    ranges: bool = True
    drop_after: list[int] = field(default_factory=list)
    """For each coming answer, after how many bytes of it the connection drops."""
    statuses: list[int] = field(default_factory=list)
    """For the coming answers, an error to give instead."""
    location: str | None = None
    claimed_length: int | None = None
    wrong_range: bool = False
    seen: list[str | None] = field(default_factory=list)
    """The Range header of every request."""
    tokens: list[str | None] = field(default_factory=list)
    """The Authorization header of every request."""
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.seen.append(asked)
            state.tokens.append(self.headers.get("Authorization"))
            if state.location and self.path == "/file.tar":
                self.send_response(302)
                self.send_header("Location", state.location)
                self.end_headers()
                return
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = 0
            same = self.headers.get("If-Range") in (None, state.etag)
            if asked and state.ranges and same:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(state.body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(state.body)}")
                    self.end_headers()
                    return
                self.send_response(206)
                shown = 0 if state.wrong_range else start
                self.send_header("Content-Range", f"bytes {shown}-{len(state.body) - 1}/{len(state.body)}")
            else:
                self.send_response(200)
            data = state.body[start:]
            self.send_header("Content-Length", str(state.claimed_length or len(data)))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            self.wfile.write(data[: state.drop_after.pop(0)] if state.drop_after else data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}/file.tar"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def get(server: Server, folder: Path, sha256: str | None = DIGEST, attempts: int = 3, **more: object) -> Path:
    return fetch(
        server.url,
        folder / "file",
        sha256=sha256,
        attempts=attempts,
        first_wait=0.01,
        instead="USE THIS",
        **more,  # type: ignore[arg-type]
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path).read_bytes() == BODY
    assert names(tmp_path) == ["file"]


def test_a_file_that_is_there_and_right_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.seen) == 1


def test_dropped_connections_are_resumed_by_range(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 200_000]
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen == [None, "bytes=300000-", "bytes=500000-"]


def test_progress_renews_the_attempts(server: Server, tmp_path: Path) -> None:
    server.drop_after = [1000] * 20
    assert get(server, tmp_path, attempts=3).read_bytes() == BODY
    assert len(server.seen) == 21


def test_a_server_without_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges, server.drop_after = False, [300_000]
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_server_without_etag_is_still_resumed(server: Server, tmp_path: Path) -> None:
    server.etag, server.drop_after = None, [300_000]
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen[1] == "bytes=300000-"


def test_a_part_is_kept_when_it_gives_up_and_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(InputError, match=r"3 times in a row \(300,000 bytes are kept.*USE THIS"):
        get(server, tmp_path)
    assert not (tmp_path / "file").exists()
    server.drop_after.clear()
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen[-1] == "bytes=300000-"


def test_a_part_of_a_file_that_changed_meanwhile_is_never_joined_to_the_new_one(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(InputError):
        get(server, tmp_path)
    server.drop_after.clear()
    server.body, server.etag = BODY[::-1], '"v2"'
    assert get(server, tmp_path, sha256=None).read_bytes() == BODY[::-1]


def test_a_part_of_another_address_or_of_unknown_origin_is_not_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"something else")
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen == [None]


def test_a_part_that_is_the_whole_is_recognized(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 0, 0, 0]
    with pytest.raises(InputError):
        get(server, tmp_path)
    (tmp_path / "file.partial").write_bytes(BODY)
    server.drop_after.clear()
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_server_that_answers_with_another_range_is_not_believed(server: Server, tmp_path: Path) -> None:
    server.drop_after, server.wrong_range = [300_000], True
    assert get(server, tmp_path).read_bytes() == BODY


def test_errors_that_pass_are_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final_and_says_what_was_wanted(server: Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(InputError, match=rf"cannot download {server.url}: the server returned {status} .*USE THIS"):
        get(server, tmp_path)
    assert len(server.seen) == 1
    assert names(tmp_path) == []


def test_a_wrong_content_is_thrown_away(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"expected sha256 {'0' * 64}, got {DIGEST}"):
        get(server, tmp_path, sha256="0" * 64)
    assert names(tmp_path) == []


def test_a_body_shorter_than_promised_is_no_file(server: Server, tmp_path: Path) -> None:
    server.claimed_length, server.ranges = len(BODY) + 5, False
    with pytest.raises(InputError, match="dropped after 700,000 of 700,005 bytes"):
        get(server, tmp_path, sha256=None)
    assert not (tmp_path / "file").exists()


def test_more_than_allowed_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than the 1,000 allowed"):
        get(server, tmp_path, max_bytes=1000)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_to_another_protocol_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    server.location = target
    with pytest.raises(InputError, match=r"cannot download .*(redirects to|is not allowed)"):
        get(server, tmp_path)
    assert names(tmp_path) == []


def test_a_token_goes_to_the_host_asked_and_to_no_other(server: Server, tmp_path: Path) -> None:
    server.location = server.url.replace("127.0.0.1", "localhost") + "2"
    assert get(server, tmp_path, headers={"Authorization": "Bearer secret"}).read_bytes() == BODY
    assert server.tokens == ["Bearer secret", None]


def test_a_server_that_went_away_is_waited_for_longer_than_one_never_reached(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 times in a row"):
        fetch("http://127.0.0.1:1/x", tmp_path / "x", attempts=4, first_wait=0.01)
    server.statuses = [503] * 9
    with pytest.raises(InputError, match="4 times in a row"):
        get(server, tmp_path, attempts=4)


def test_no_connection_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"cannot download http://127\.0\.0\.1:1/x: no connection \(.*refused\).*USE THIS"
    ):
        fetch("http://127.0.0.1:1/x", tmp_path / "x", attempts=2, first_wait=0.01, instead="USE THIS")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x.tar"])
def test_other_protocols_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="https://"):
        fetch(url, tmp_path / "x")
