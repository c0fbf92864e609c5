"""Download one large file over HTTP, with resumption, retries and a final check of the hash."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from genies.errors import InputError
from genies.files import read_json, sha256_of_file, write_json

_CHUNK = 1 << 18
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which another attempt is made."""


class _Interrupted(Exception):
    """The transfer stopped for a reason that may be temporary."""


class _NoConnection(_Interrupted):
    """The server could not be reached."""


class _Refused(Exception):
    """The transfer stopped for a permanent reason."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("https://", f"{req.type}://")):
            raise _Refused(f"the server redirects to {newurl}, which is not a secure address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def fetch(
    url: str,
    destination: Path,
    *,
    sha256: str | None = None,
    headers: Mapping[str, str] | None = None,
    instead: str = "",
    attempts: int = 6,
    first_wait: float = 0.5,
    timeout: float = 30,
    max_bytes: int = 4 << 30,
) -> Path:
    """Download `url` (http or https) to `destination`, which appears only when it is complete and matches `sha256`.

    Received data is kept in `destination` + ".partial". Another call continues from there if the server supports it
    and its file is unchanged. `attempts` is the number of consecutive failures without new data that are allowed, half
    as many if the server was never reached; the wait before a retry is `first_wait` seconds and doubles each time.

    Raises InputError after these failures, or at once if the server refuses; the message ends with `instead`, another
    way to get the file. `headers`, such as an access token, are sent only to the host of `url`, not to redirect
    targets.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"cannot download {url}: expected an address that starts with https:// or http://")
    if destination.is_file() and (sha256 is None or sha256_of_file(destination) == sha256):
        return destination
    partial = destination.with_name(destination.name + ".partial")
    destination.parent.mkdir(parents=True, exist_ok=True)
    failures, reached = 0, False
    while True:
        before = _size(partial)
        try:
            _transfer(url, partial, headers or {}, timeout, max_bytes)
            break
        except _Refused as error:
            raise InputError(f"cannot download {url}: {error}. {instead}".rstrip()) from None
        except _Interrupted as error:
            reached = reached or not isinstance(error, _NoConnection)
            failures = 1 if _size(partial) > before else failures + 1
            if failures >= (attempts if reached else (attempts + 1) // 2):
                came = _size(partial)
                kept = f" ({came:,} bytes are kept; run the same command again to continue)" if came else ""
                raise InputError(
                    f"cannot download {url}: {error}, {failures} times in a row{kept}. {instead}".rstrip()
                ) from None
            time.sleep(first_wait * 2 ** (failures - 1))
    if sha256 is not None and (found := sha256_of_file(partial)) != sha256:
        _forget(partial)
        raise InputError(f"{url}: expected sha256 {sha256}, got {found}; the file was deleted. {instead}".rstrip())
    partial.replace(destination)
    _forget(partial)
    return destination


def _transfer(url: str, partial: Path, secret: Mapping[str, str], timeout: float, max_bytes: int) -> None:
    """Complete the file `partial`, or raise _Interrupted or _Refused."""
    validator = _stored_validator(partial, url)
    if validator is None:
        _forget(partial)
    start = _size(partial)
    headers = {"User-Agent": "genies", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)
    for name, value in secret.items():
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(request, timeout=timeout) as response:
            _receive(response, url, partial, start, max_bytes)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            # The request starts after the last byte: the file is complete, or it has changed on the server.
            whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if whole == str(start):
                return
            _forget(partial)
            raise _Interrupted("the file on the server is now shorter") from None
        kind = _Interrupted if error.code in _MAY_PASS else _Refused
        raise kind(f"the server returned {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _NoConnection(f"no connection ({_reason(error.reason)})") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _Interrupted(f"the connection dropped ({_reason(error)})") from None


def _receive(response: Any, url: str, partial: Path, start: int, max_bytes: int) -> None:
    total: int | None
    if response.status == 206:
        sent, _, whole = (response.headers.get("Content-Range") or "").removeprefix("bytes ").partition("/")
        total = int(whole) if whole.isdecimal() else None
        if sent.partition("-")[0] != str(start):
            _forget(partial)
            raise _Interrupted(f"the server sent bytes {sent!r}; expected those from {start:,} on")
    else:
        # The server does not support resumption, or its file has changed.
        start = 0
        _forget(partial)
        length = response.headers.get("Content-Length") or ""
        total = int(length) if length.isdecimal() else None
        write_json(_validator_path(partial), {"url": url, "validator": _validator(response.headers)})
    if total is not None and total > max_bytes:
        raise _Refused(f"the file has {total:,} bytes, more than the {max_bytes:,} allowed")
    with (
        open(partial, "ab") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=partial.stem, disable=None) as bar,
    ):
        while data := response.read(_CHUNK):
            start += len(data)
            if start > max_bytes:
                raise _Refused(f"the file is longer than the {max_bytes:,} bytes allowed")
            file.write(data)
            bar.update(len(data))
    if total is not None and start < total:
        raise _Interrupted(f"the connection dropped after {start:,} of {total:,} bytes")


def _validator(headers: Message) -> str:
    """The value for If-Range: a strong ETag, or the date of the last change; empty without both."""
    tag = headers.get("ETag") or ""
    return tag if tag.startswith('"') else headers.get("Last-Modified") or ""


def _validator_path(partial: Path) -> Path:
    return partial.with_name(partial.stem + ".validator.partial")


def _stored_validator(partial: Path, url: str) -> str | None:
    """The validator of a partial file; None if it is unknown or the file is from another address."""
    try:
        value = read_json(_validator_path(partial), "download state")
    except InputError:
        return None
    return str(value.get("validator") or "") if isinstance(value, dict) and value.get("url") == url else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _forget(partial: Path) -> None:
    # Delete the data first: a download without its validator is never resumed.
    partial.unlink(missing_ok=True)
    _validator_path(partial).unlink(missing_ok=True)


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
