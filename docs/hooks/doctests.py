"""A griffe extension: doctests in a docstring become code blocks, which mkdocstrings would show as running text."""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


class Doctests(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """A docstring with a fence around each doctest, which ends at the next empty line."""
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", docstring)
