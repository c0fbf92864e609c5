"""Names of distributions, models and interventions. Each is one folder name and identifies what it names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genies.errors import InputError

MAX_NAME_BYTES = 255
"""Maximum length of a name in bytes on common file systems."""

# Control characters and line ends would break logs and tables; surrogates represent bytes that are not UTF-8.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of the Unicode character database: characters that fonts do not display."""


def check_name(name: Any, where: str, kind: str = "a distribution") -> str:
    """Return `name` if it is one folder name that cannot refer to a place outside the parent; else raise InputError.

    where: start of the message. kind: what the name belongs to, with its article.
    """
    if not isinstance(name, str):
        raise InputError(f"{where}: expected the name of {kind}, got {_show(name)}")
    fault = _fault(name)
    if fault:
        raise InputError(f"{where}: expected the name of {kind}, one folder name, got {_show(name)}, {fault}")
    return name


def _fault(name: str) -> str | None:
    if not name:
        return "which is empty"
    if "/" in name or "\\" in name:
        return "which contains a path separator"
    if name in (".", ".."):
        return "which is a relative path"
    if name != name.strip():
        return "which starts or ends with white space"
    if _UNUSABLE.search(name):
        return "which contains a control character or half a character"
    if not _INVISIBLE.sub("", name):
        return "which contains only invisible characters"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"which is longer than {MAX_NAME_BYTES} bytes"
    return None


def check_length(name: str, more: int, what: str) -> None:
    """Raise InputError if `name` is too long for a file or folder after `more` bytes are added to it.

    what: what the name belongs to, and the names it consists of.
    """
    length = len(name.encode("utf-8", "surrogateescape"))
    if length + more > MAX_NAME_BYTES:
        raise InputError(
            f"{what} would be called {_show(name)}, {length} bytes; expected at most {MAX_NAME_BYTES - more}, because "
            f"{more} are added to it and file systems allow {MAX_NAME_BYTES}; use shorter names"
        )


def shortened(name: str, most: int) -> str:
    """The start of a name, at most `most` bytes of UTF-8."""
    return name.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "ignore")


def check_distinct(names: Iterable[str], what: str) -> None:
    """Raise InputError if two names differ only in case, in the encoding of accents, or in invisible characters.

    On macOS and Windows both are the same folder, and the results of one would replace those of the other.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(_folded(name), name)
        if other != name:
            raise InputError(
                f"{what} {other!a} and {name!a} differ only in case, in the encoding of accents, or in invisible "
                "characters, and are the same on some file systems; rename one of them"
            )


def _folded(name: str) -> str:
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFC", name))
    return unicodedata.normalize("NFC", visible.casefold())


def is_folder_argument(item: str | Path) -> bool:
    """Whether an item given by the user is a folder, not the name of a distribution."""
    text = str(item)
    return "/" in text.rstrip("/") or text.startswith("/") or text in (".", "..")


def name_of(item: str | Path, where: str) -> str:
    """The name of a distribution given by the user as a folder or as a name."""
    text = str(item)
    if not text or "\0" in text:
        raise InputError(f"{where}: expected a folder or the name of a distribution, got {_show(text)}")
    folder = Path(item)
    return check_name(folder.resolve().name if folder.name in ("", "..") else folder.name, where)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
