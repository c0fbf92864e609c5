"""What is said of the evaluations of a step that are not taken: each fault once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from genies.errors import InputError

_VALUE = re.compile(r", got .*")
_REFUSAL = re.compile(r"^, distributions? .*?: evaluation .*?\.json(.*)$", re.MULTILINE)


def refusals(title: str, refused: Mapping[Path, InputError]) -> str:
    """A line for each fault that evaluations have, with the distributions whose evaluations have it."""
    alike: dict[str, list[Path]] = {}
    for output, error in refused.items():
        alike.setdefault(_VALUE.sub("", str(error).replace(str(output), "")), []).append(output)
    lines = []
    for outputs in alike.values():
        names = [output.name.removesuffix(".json") for output in outputs]
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        lines.append(f"{title}, distribution{'s' if len(names) > 1 else ''} {listed}: {refused[outputs[0]]}")
    return "\n".join(lines)


def without_names(reason: str) -> str:
    """The refusals of a step, its title left out, without what differs between evaluations: names and figures."""
    return _REFUSAL.sub(lambda found: _VALUE.sub("", found[1]), reason)
