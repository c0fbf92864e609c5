"""Read rows of preference data from JSONL, CSV, Parquet or a folder saved by `datasets`, a few at a time."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from genies.data.importing import arrow_files, text_files
from genies.data.importing.published_splits import published_tests
from genies.data.importing.rows import Values
from genies.errors import InputError
from genies.files import open_regular, read_json

Format = Literal["jsonl", "csv", "parquet", "datasets"]

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "datasets",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the data: its values by column, or the reason why it is malformed."""

    number: int
    """Counted from 0 over all files, without header lines and blank lines."""
    values: Values
    in_test: bool | None = None
    """Whether it is published as a test row; None if published splits are not kept."""


@dataclass(frozen=True, slots=True)
class Source:
    """Preference data on disk."""

    path: Path
    format: Format
    files: tuple[Path, ...]
    """The files to read, in this order."""
    columns: tuple[str, ...]
    """The columns of the first file; for JSONL, the keys of its first row."""
    in_test: Mapping[Path, bool] | None = None
    """Whether each file is of the test split, if published splits are kept."""

    def rows(self, wanted: Iterable[str]) -> Iterator[Row]:
        """All rows. Formats that can read single columns return only the `wanted` ones.

        Raises InputError if the file itself is damaged, not only a row.
        """
        names = list(wanted)
        number = 0
        for file in self.files:
            with _explained(file):
                for values in _READERS[self.format](file, names):
                    yield Row(number, values, None if self.in_test is None else self.in_test[file])
                    number += 1


def open_source(path: Path, form: Format | None = None, split: str | None = None, keep_splits: bool = False) -> Source:
    """The data in a file or folder. The format is `form`, or else determined by the file name extension.

    split: the split to read from a `datasets` folder with several. The files of a folder are read in order of their
    paths. keep_splits: read the train and test splits, which the names of files and folders tell.
    """
    if not path.exists():
        raise InputError(f"--data_path {path} does not exist; expected a file, or a folder saved by `datasets`")
    form = form or _format_of(path)
    files = _files(path, form, split, keep_splits)
    in_test = None
    if keep_splits:
        in_test, _ = published_tests(files, path)
        files = tuple(in_test)
    with _explained(files[0]):
        columns = _COLUMNS[form](files[0])
    return Source(path, form, files, tuple(columns), in_test)


def _format_of(path: Path) -> Format:
    if path.is_dir():
        if _in_folder(path, ".parquet"):
            return "parquet"
        own = (path / "state.json", path / "dataset_dict.json")
        if any(file.exists() for file in own):
            return "datasets"
        return "jsonl" if _in_folder(path, *_JSON) else "csv" if _in_folder(path, *_CSV) else "datasets"
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    form = _SUFFIXES.get(suffixes[-1].lower()) if suffixes else None
    if form is None:
        raise InputError(
            f"--data_path {path}: unknown file name extension; expected one of {', '.join(_SUFFIXES)} (also .jsonl.gz "
            "and .csv.gz), or set --format"
        )
    return form


def _files(path: Path, form: Format, split: str | None, every_split: bool) -> tuple[Path, ...]:
    if form == "datasets" and path.is_dir():
        if every_split and (path / "dataset_dict.json").exists():
            return tuple(file for name in _split_names(path) for file in _datasets_files(path, name))
        return _datasets_files(path, split)
    if split is not None:
        raise InputError(f"--data_split {split}: {path} has no splits; only folders saved by `datasets` have splits")
    if path.is_dir():
        files = _in_folder(path, *{"jsonl": _JSON, "csv": _CSV}.get(form, (f".{form}",)))
        if not files:
            raise InputError(f"--data_path {path} is a folder without a .{form} file")
        return files
    return (path,)


_JSON = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def _in_folder(folder: Path, *endings: str) -> tuple[Path, ...]:
    """The files with these endings in a folder and its subfolders, in order of their paths."""
    found = (path for path in folder.rglob("*") if path.name.endswith(endings) and not path.name.startswith("."))
    return tuple(sorted(path for path in found if path.is_file()))


def _split_names(folder: Path) -> list[str]:
    """The splits of a folder saved by `datasets`."""
    splits = read_json(folder / "dataset_dict.json", "list of splits")
    names = splits.get("splits") if isinstance(splits, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{folder / 'dataset_dict.json'}, field splits: expected a list of names")
    return names


def _datasets_files(folder: Path, split: str | None) -> tuple[Path, ...]:
    """The Arrow files that state.json names, in its order; for a DatasetDict, those of one split."""
    if (folder / "dataset_dict.json").exists():
        names = _split_names(folder)
        if split is None and len(names) == 1:
            split = names[0]
        if split is None or split not in names:
            given = "no --data_split was given" if split is None else f"--data_split is {split}"
            raise InputError(f"{folder} has the splits {', '.join(names)}, but {given}; choose one of them")
        folder = folder / _one_name(split, folder / "dataset_dict.json")
    elif split is not None:
        raise InputError(f"--data_split {split}: {folder} has no splits")
    state = folder / "state.json"
    if not state.exists():
        raise InputError(f"{folder} was not saved by `datasets` (it has no state.json) and contains no .parquet file")
    value = read_json(state, "data set state")
    files = value.get("_data_files") if isinstance(value, dict) else None
    if not isinstance(files, list) or not files or not all(isinstance(each, dict) for each in files):
        raise InputError(f"{state}, field _data_files: expected a list of file names")
    return tuple(folder / _one_name(each.get("filename"), state) for each in files)


def _one_name(name: Any, where: Path) -> str:
    if not isinstance(name, str) or not name or name != Path(name).name or "\0" in name or name in (".", ".."):
        raise InputError(f"{where}: expected the name of a file in the same folder, got {str(name)[:60]!r}")
    return name


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Convert the errors of readers to an InputError with the file."""
    try:
        open_regular(file).close()  # first, because the libraries would wait for a named pipe
        yield
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; the data set is incomplete") from None
    except IsADirectoryError:
        raise InputError(f"{file} is a folder; expected a file") from None
    except (pa.ArrowException, csv.Error, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{file} is damaged or has another format: {_one_line(error)}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{file} is damaged or has another format: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


_READERS: dict[Format, Callable[[Path, list[str]], Iterator[Values]]] = {
    "jsonl": text_files.jsonl,
    "csv": text_files.csv_rows,
    "parquet": arrow_files.parquet,
    "datasets": arrow_files.arrow,
}
_COLUMNS: dict[Format, Callable[[Path], list[str]]] = {
    "jsonl": text_files.jsonl_columns,
    "csv": text_files.csv_columns,
    "parquet": arrow_files.parquet_columns,
    "datasets": arrow_files.arrow_columns,
}
