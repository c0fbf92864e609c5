"""Data files of a data set on the hub, downloaded as they are; no code of the repository is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

from genies.data.hub import Downloaded, Repository, download
from genies.errors import InputError

FORMATS = {
    ".parquet": "Parquet",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "CSV",
}
"""The format of a file by its extension; JSON and CSV files may also be compressed (.gz)."""

_NO_DATA = frozenset({"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"})
_NAMED = 8


def format_of(name: str) -> str | None:
    """The format of a data file by its name; None for other files.

    >>> format_of("data/train-00000-of-00001.parquet"), format_of("helpful-base/test.jsonl.gz"), format_of("README.md")
    ('Parquet', 'JSON', None)
    """
    path = Path(name.removesuffix(".gz").lower())
    packed_parquet = path.suffix == ".parquet" and name.endswith(".gz")
    hidden = any(part.startswith(".") for part in path.parts)
    return None if hidden or packed_parquet or path.name in _NO_DATA else FORMATS.get(path.suffix)


def choose_data(files: Iterable[str], pattern: str | None, what: str) -> list[str]:
    """The data files among `files`, sorted, that match the shell `pattern`. Raises InputError for several formats."""
    data = sorted(name for name in files if format_of(name) is not None)
    if not data:
        raise InputError(
            f"{what} contains no Parquet, JSON or CSV file; data sets that only a script of their own can load are not "
            "supported. Save it as JSONL, and give --data_path"
        )
    chosen = [name for name in data if pattern is None or fnmatchcase(name, pattern)]
    names = ", ".join(data[:_NAMED]) + (f" and {len(data) - _NAMED} more" if len(data) > _NAMED else "")
    if not chosen:
        raise InputError(f"--hub_files {pattern!r} matches no data file of {what}; it has {names}")
    formats = {format_of(name) for name in chosen}
    if len(formats) > 1:
        raise InputError(
            f"{what} has files in several formats ({names}); choose with --hub_files, such as --hub_files '*.parquet'"
        )
    return chosen


def hub_data(dataset: str, revision: str | None, pattern: str | None, cache: Path) -> Downloaded:
    """The data files of a data set at `revision` (default: the newest), in a folder of the cache of their own.

    pattern: shell pattern of the paths to download (default: all data files).
    """
    instead = "To use files on this machine, give --data_path instead"
    repository = Repository("dataset", dataset, revision, instead)

    def choose(files: Mapping[str, Any]) -> Iterable[str]:
        return choose_data(files, pattern, str(repository))

    name = "all" if pattern is None else sha256(pattern.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return download(repository, cache / "hub_datasets" / dataset.replace("/", "--") / name, choose)
