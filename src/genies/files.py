"""Reading files that may be damaged and writing files that must never be seen half-written."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from genies.errors import InputError


def read_json(path: Path, what: str) -> Any:
    """The value in a JSON file; `what` names the file's role in messages ("evaluation", "shift file").

    Raises InputError for a file that is absent, empty, not UTF-8, not JSON, cut off, nested too deep,
    or that names a key twice in one object (the second would silently replace the first).
    NaN and Infinity are read as floats, so that the reader can name the field that holds them.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} {path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{what} {path} is a folder; expected a JSON file") from None
    if not data.strip():
        raise InputError(f"{what} {path} is empty; expected JSON")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object_without_repeats)
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text (byte {error.start}); expected JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{what} {path} is not valid JSON, or only half of it is there: "
            f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise InputError(f"{what} {path} is nested too deep to be read") from None
    except ValueError as error:
        raise InputError(f"{what} {path}: {error}") from None


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_shorten(repeated)!r} stands twice in one object; each key may stand once")
    return result


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """write_bytes for text, as UTF-8 with the line ends it has."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """write_bytes for a JSON value, indented; refuses NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
