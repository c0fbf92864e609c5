"""Embed untrusted text and data in pages: file names, JSON in script elements, invisible characters."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_SAFE_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,79}")
_LOOKS_HASHED = re.compile(r".*-[0-9a-f]{16}")

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, invisible characters, and those that change the direction of text. Tab, line feed and the
joiners, which some scripts need, are not included."""


def script_json(value: Any) -> str:
    r"""JSON that is safe in a script element and in a script file: it cannot end the element or be parsed as markup.

    >>> script_json(["</script>", "a & b"])
    '["\\u003c/script\\u003e","a \\u0026 b"]'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def data_script(key: str, value: Any) -> str:
    """A script file that passes `value` to the page. Pages opened from disk cannot load data in any other way."""
    return f"genies.add({script_json(key)},{script_json(value)});\n"


def file_name(name: str) -> str:
    """A file name for a name in the data: letters, digits, `_` and `-`, unique for each name.

    Short names of these characters are unchanged. Others are cleaned, and a part of their sha256 is appended.

    >>> file_name("alpaca_mmlu"), file_name("../etc")
    ('alpaca_mmlu', 'etc-f7f9121fdb53d8de')
    """
    if _SAFE_NAME.fullmatch(name) and not _LOOKS_HASHED.fullmatch(name):
        return name
    cleaned = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{cleaned}-{digest}" if cleaned else digest


def visible(text: str) -> str:
    """Text with the code points of invisible characters and of those that reorder others written out.

    >>> visible("a\\x00b\\u202ec")
    'a[U+0000]b[U+202E]c'
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)
