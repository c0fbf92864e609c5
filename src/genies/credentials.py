"""Mask passwords, tokens and keys in arguments, so that records and reports do not contain them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

_SECRET = re.compile(
    r"(^|_)(pass(word|wd|phrase)|secret|credentials?|authorization"
    r"|(api|access|auth|private|account|encryption)_?key"
    r"|(access|api|auth|bearer|refresh|security|session|hf|hub|github|openai|wandb)_?token)(_|$)|^token$",
    re.IGNORECASE,
)
_MASKED = re.compile(r"\*\*\*[0-9a-f]{4}")
_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_ROUNDS = 100_000


def is_secret(name: str) -> bool:
    """Whether an argument's name indicates a password, a token or a key.

    >>> [is_secret(name) for name in ("api_key", "openai_api_key", "password", "token", "hf_token")]
    [True, True, True, True, True]
    >>> [is_secret(name) for name in ("pad_token", "batch_tokens", "key", "num_virtual_tokens", "tokenizer")]
    [False, False, False, False, False]
    """
    return _SECRET.search(name) is not None


@cache
def masked(secret: str) -> str:
    """The mask of a secret: `***` and four digits that depend on it.

    The digits are part of fingerprints, because an argument called "password" may be a parameter of a method. They are
    too few to identify a password, and slow to compute.
    """
    if _MASKED.fullmatch(secret):
        return secret
    digest = hashlib.pbkdf2_hmac("sha256", secret.encode("utf-8", "surrogateescape"), b"genies", _ROUNDS, 2)
    return f"***{digest.hex()}"


def published(value: Any) -> Any:
    """A JSON value with its secrets masked, at any depth, and without user and password in URLs.

    >>> published({"url": "https://me:secret@host/x", "k": [{"n": 1}]})
    {'url': 'https://host/x', 'k': [{'n': 1}]}
    """
    if isinstance(value, Mapping):
        return {name: _published_item(str(name), each) for name, each in value.items()}
    if isinstance(value, list):
        return [published(each) for each in value]
    return _IN_URL.sub("", value) if isinstance(value, str) else value


def _published_item(name: str, value: Any) -> Any:
    if value is None or not is_secret(name):
        return published(value)
    return masked(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def published_items(argv: Sequence[str]) -> list[str]:
    """Command-line items with secrets masked, both after `--name` and inside lists and objects in JSON.

    >>> published_items(["eval.py", "--url", "https://me:secret@host/x"])
    ['eval.py', '--url', 'https://host/x']
    """
    return [_published_text(before, item) for before, item in zip(["", *argv], argv, strict=False)]


def _published_text(before: str, item: str) -> str:
    if before.startswith("--") and is_secret(before[2:]):
        return masked(item)
    if item.startswith(("{", "[")):
        try:
            value = json.loads(item)
        except (ValueError, RecursionError):
            return _IN_URL.sub("", item)
        shown = published(value)
        return item if shown == value else json.dumps(shown, ensure_ascii=False)
    return _IN_URL.sub("", item)
