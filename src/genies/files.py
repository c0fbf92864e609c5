"""Read files that may be damaged, and write files atomically."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from genies.errors import InputError

MAX_DEPTH = 100
"""Maximum nesting of lists and objects in a JSON file. What is read must also be displayed and written again."""


MAX_BYTES = 1 << 30
"""Size of the largest file that is read into memory at once. The official distributions have 121 MB in total."""

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, what: str = "file") -> io.BufferedReader:
    """Open a regular file for reading; `what` is its role in messages.

    All files that a user, a download or a job may have made are opened here. Raises InputError for named pipes, which
    would block the program, and for devices, which may be endless. Raises OSError like `open`.
    """
    _check_regular(path.stat().st_mode, path, what)
    # The path may have changed since the check. Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor).st_mode, path, what)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(mode: int, path: Path, what: str) -> None:
    special = _SPECIAL.get(stat.S_IFMT(mode))
    if special is not None:
        raise InputError(f"{what} {path} is {special}; expected a regular file")


def read_bytes(path: Path, what: str, most: int = MAX_BYTES) -> bytes:
    """The content of a regular file; `what` is its role in messages.

    Raises InputError if the file is missing, is not a regular file, or is longer than `most` bytes.
    """
    try:
        with open_regular(path, what) as file:
            if os.fstat(file.fileno()).st_size > most:
                raise InputError(f"{what} {path} is longer than the {most:,} bytes allowed")
            return file.read()
    except (FileNotFoundError, ValueError):  # ValueError: the name contains a NUL character
        raise InputError(f"{what} {path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{what} {path} is a folder; expected a regular file") from None


def read_text(path: Path, what: str, most: int = MAX_BYTES) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark; see read_bytes."""
    try:
        return read_bytes(path, what, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text (byte {error.start})") from None


def read_json(path: Path, what: str) -> Any:
    """The value in a JSON file; `what` is the file's role in messages ("evaluation", "shift file").

    Raises InputError if the file is missing, not a regular file, too long, empty, not UTF-8, not valid JSON, truncated
    or nested too deep, or if an object contains a key twice (otherwise the second value would silently replace the
    first). NaN and Infinity are read as floats, so that the caller can name the field that contains them.
    """
    data = read_bytes(path, what)
    try:
        value = from_json(data)  # accepts and returns the same as json.loads, in a quarter of the time
        if _has_no_repeats(value, data):
            return value
    except ValueError:
        pass  # the message follows
    repeated: dict[int, tuple[dict[str, Any], str]] = {}

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            repeated[id(result)] = result, _first_repeat(pairs)
        return result

    try:
        text = data.decode("utf-8-sig")
        if not text.strip():
            raise InputError(f"{what} {path} is empty; expected JSON")
        value = json.loads(text, object_pairs_hook=keep)
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text (byte {error.start}); expected JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{what} {path} is not valid JSON, or it is truncated: "
            f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise InputError(f"{what} {path} is nested too deeply to be read") from None
    except ValueError as error:
        raise InputError(f"{what} {path}: {error}") from None
    for place, container in _containers(value):
        if len(place) >= MAX_DEPTH:
            raise InputError(
                f"{what} {path} is nested too deeply; expected at most {MAX_DEPTH} levels of lists and objects"
            )
        if id(container) in repeated:
            where = f", at {_shorten('.'.join(map(str, place)))}" if place else ""
            key = _shorten(repeated[id(container)][1])
            raise InputError(f"{what} {path}{where}: the key {key!r} occurs twice in one object; use each key once")
    return value


_END_OF_KEY = re.compile(rb'"\s*:')


def _has_no_repeats(value: Any, data: bytes) -> bool:
    """Whether a value has as many keys as its file, and at most MAX_DEPTH levels. False is possible for such a value if
    its texts contain quotes before colons."""
    keys = 0
    for place, container in _containers(value):
        if len(place) >= MAX_DEPTH:
            return False
        keys += len(container) if isinstance(container, dict) else 0
    return keys == len(_END_OF_KEY.findall(data))


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object_pairs_hook for json.loads that raises ValueError for a repeated key."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError(f"the key {_shorten(_first_repeat(pairs))!r} occurs twice in one object")
    return result


def _first_repeat(pairs: list[tuple[str, Any]]) -> str:
    return next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


_NESTED = frozenset({dict, list})


def _containers(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """All lists and objects in a JSON value, each with the keys that lead to it, in document order."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)] if isinstance(value, dict | list) else []
    while waiting:
        place, container = waiting.pop()
        yield place, container
        values = container.values() if isinstance(container, dict) else container
        if _NESTED.isdisjoint(map(type, values)):
            continue  # most lists contain only numbers
        items = container.items() if isinstance(container, dict) else enumerate(container)
        waiting += reversed([((*place, key), child) for key, child in items if isinstance(child, dict | list)])


def is_unicode(text: str) -> bool:
    """Whether text can be encoded as UTF-8. Half of a surrogate pair, which JSON allows, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def json_kind(value: Any) -> str:
    """The type of a value in terms of JSON, for messages."""
    if value is None:
        return "null"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bytes: "bytes", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, int | float | Decimal) else type(value).__name__)


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write a file atomically: readers see the old content or the new content, even if the process is killed.

    With `durable`, this is also true after a crash of the machine.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"cannot write {path}: {path.parent} is not a folder") from None
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; expected the name of a file")
    if path.exists() and not path.is_file():  # such as /dev/null, which the rename would replace for all programs
        raise InputError(f"cannot write {path}: it is a device, a pipe or a socket; expected the name of a file")
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(8)}.partial"
    # The same mode as in a plain open(), so that the kernel applies the umask.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write text atomically as UTF-8, with its line ends unchanged; see write_bytes."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value atomically and indented. Raises ValueError for NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Write the files of a folder to the disk, before a record refers to them."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
