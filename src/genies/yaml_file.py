"""Read a YAML file that a person wrote: arguments, a study or the questions of a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from genies.errors import InputError
from genies.files import read_text

_LARGEST = 1 << 20
"""Maximum size of a YAML file in bytes. With all aliases expanded, twice as many characters are allowed."""


def read_yaml(path: Path, argument: str, expected: str) -> dict[str, Any]:
    """The names and values in a YAML file; empty for an empty file. `argument` and `expected` are used in messages.

    Raises InputError for a file that is missing, malformed, too large after its aliases are expanded, or that
    contains a name twice.
    """
    text = read_text(path, argument, most=_LARGEST)
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        if document is not None and _expanded(document, {}) > 2 * _LARGEST:
            raise InputError(
                f"{argument} {path}: its aliases (*name) expand to more than {2 * _LARGEST:,} characters; "
                "use fewer of them"
            )
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date like 2024-13-45
        raise InputError(f"{argument} {path} is not valid YAML: {error}") from None
    if values is None or document is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{argument} {path} must contain {expected}")
    if (twice := _named_twice(document, set())) is not None:
        raise InputError(f"{argument} {path}, line {twice[1]}: contains {twice[0]} twice; use each name once")
    return values


def _named_twice(node: yaml.Node, seen: set[int]) -> tuple[str, int] | None:
    """The first name that is twice in one mapping, at any depth, and its line; None if there is none."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return None
    seen.add(id(node))
    names: set[str] = set()
    for item in node.value:
        key, child = item if isinstance(item, tuple) else (None, item)
        if isinstance(key, yaml.ScalarNode):
            if key.value in names and key.value != "<<":
                return key.value, key.start_mark.line + 1
            names.add(key.value)
        if (found := _named_twice(child, seen)) is not None:
            return found
    return None


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of characters in a YAML node with all aliases expanded.

    Aliases share one value in memory, so a hundred bytes can expand to gigabytes. They must be counted before
    anything writes or compares the values.
    """
    if id(node) not in known:
        known[id(node)] = 2 * _LARGEST + 1  # for a node that contains itself, which is infinite
        if isinstance(node, yaml.ScalarNode):
            known[id(node)] = 1 + len(node.value)
        else:
            parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            known[id(node)] = 1 + sum(_expanded(part, known) for part in parts)
    return known[id(node)]
