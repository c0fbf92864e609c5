"""A JSON file in the folder of a reward model that distinguishes models tuned here from published ones."""

from __future__ import annotations

from pathlib import Path

from genies.adapter_base import BASE_RECORD, REWARD_RECORD
from genies.errors import InputError
from genies.files import read_json, write_json

_LAST_TOKEN = "last_token"


def write_reward_record(folder: Path) -> None:
    """Record that a reward model was tuned here, so its reward is read at the last token of a text, whatever its id."""
    write_json(folder / REWARD_RECORD, {"tuned_with": "genies", "reads": _LAST_TOKEN})


def is_tuned_here(folder: Path) -> bool:
    """Whether a reward model was tuned here; InputError if its record contains an unknown value.

    Adapters tuned before this record existed are recognized by the record of their base model.
    """
    path = folder / REWARD_RECORD
    if not path.is_file():
        return (folder / BASE_RECORD).is_file()
    value = read_json(path, "record of a reward model")
    reads = value.get("reads") if isinstance(value, dict) else None
    if reads != _LAST_TOKEN:
        raise InputError(f"{path}, field reads: expected {_LAST_TOKEN}, got {reads!r}; train again")
    return True
