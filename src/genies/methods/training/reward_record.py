"""A small JSON file in the folder of a reward model tuned here, by which it is told from published ones."""

from __future__ import annotations

from pathlib import Path

from genies.adapter_base import BASE_RECORD
from genies.errors import InputError
from genies.files import read_json, write_json

RECORD = "reward_model.json"
_LAST_TOKEN = "last_token"


def write_reward_record(folder: Path) -> None:
    """Record that a reward model was tuned here and so reads every text at its last token, whatever its id is."""
    write_json(folder / RECORD, {"tuned_with": "genies", "reads": _LAST_TOKEN})


def is_tuned_here(folder: Path) -> bool:
    """Whether a reward model was tuned here; InputError where its record says something that is not known here.

    Adapters tuned before there was such a record have one of their base model.
    """
    path = folder / RECORD
    if not path.is_file():
        return (folder / BASE_RECORD).is_file()
    value = read_json(path, "record of a reward model")
    reads = value.get("reads") if isinstance(value, dict) else None
    if reads != _LAST_TOKEN:
        raise InputError(f"{path}, field reads: expected {_LAST_TOKEN}, got {reads!r}")
    return True
