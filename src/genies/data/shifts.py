"""Shifts: the distributions on which a model is tuned and tested, from shift files or folder arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from genies.errors import InputError
from genies.files import read_json
from genies.names import check_distinct, check_name, is_folder_argument, name_of
from genies.shipped import SHIPPED, or_shipped

LABELS = ("extreme", "probing")
"""Extreme shifts change what a task looks like. Probing shifts test for unintended effects of tuning."""

FIELDS = ("source", "target", "target_reference", "label", "category")


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift from a source to a target, by the names of their folders."""

    source: str
    """The distribution to tune on; empty if nothing is tuned and an untuned model is tested on the target."""
    target: str
    """The distribution to test on; may be the source."""
    target_reference: str = ""
    """The distribution on which the target-tuned capability is measured (default: the target)."""
    label: str | None = None
    """extreme or probing; None if the shift file has no label."""
    category: str | None = None
    """A group of shifts with the same label, such as difficulty; None if the shift file has no category."""

    def __post_init__(self) -> None:
        if not self.target_reference:
            object.__setattr__(self, "target_reference", self.target)

    def __str__(self) -> str:
        return f"{self.source} > {self.target}" if self.source else self.target


def read_shifts(path: str | Path) -> list[Shift]:
    """The shifts in a JSON file, in file order, including repeats.

    A relative path that does not exist is looked up among the project's own files: distribution_shifts/GENIES.json is
    available everywhere.

    The file is a list. An entry is a pair [source, target], or an object with source, target and optionally
    target_reference, label and category (keys that start with _ are comments). An object without a source is for
    interventions that tune nothing, such as a published reward model. A distribution is a name, or the path of its
    folder from the folder of the file; a shift has the folder's name, and folders_in returns the path. Raises
    InputError with the file, the entry (counted from 0) and the field.
    """
    path, value = _content(path)
    return shifts_of(value, f"shift file {path}")


def _content(path: str | Path) -> tuple[Path, Any]:
    path = or_shipped(Path(path))
    if not path.exists():
        raise InputError(_absent(path))
    return path, read_json(path, "shift file")


def folders_in(path: str | Path) -> list[Path]:
    """The folders of the distributions that a shift file names by path."""
    path, value = _content(path)
    return folders_of(value, path.parent)


def folders_of(value: Any, base: Path) -> list[Path]:
    """The folders of the distributions that a list of entries names by path, which are relative to `base`."""
    entries = value if isinstance(value, list) else []
    items = [entry if isinstance(entry, list) else [entry.get(each) for each in FIELDS[:3]] for entry in entries
             if isinstance(entry, list | dict)]  # fmt: skip
    named = [item for each in items for item in each if _is_path(item)]
    return [base / item for item in dict.fromkeys(named)]


def shifts_of(value: Any, where: str) -> list[Shift]:
    """The shifts in a list of entries of a shift file; `where` is the start of messages."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list of shifts, got {_show(value)}")
    if not value:
        raise InputError(f"{where} contains no shifts; expected at least one {{source, target}}")
    return [_shift(entry, f"{where}, entry {index}") for index, entry in enumerate(value)]


def _absent(path: Path) -> str:
    """The message for a missing shift file, with similar names."""
    where = "" if path.is_absolute() else f" in the working directory, {Path.cwd()}"
    there = sorted(each.name for each in path.parent.glob("*.json")) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there)
    hint = f" (nearest names: {', '.join(near)})" if near else ""
    own = SHIPPED / "distribution_shifts"
    return f"shift file {path} does not exist{where}{hint}; the project's own lists are in {own}"


def shifts_from_dirs(source_dirs: Sequence[str | Path] | None, target_dirs: Sequence[str | Path]) -> list[Shift]:
    """Shifts from sources and targets, paired item by item, or from targets alone. An item is a folder or the name of a
    distribution.

    A folder is identified by its name; a trailing slash is ignored. Pass the same items to `folders`.
    """
    if source_dirs is None:
        if not target_dirs:
            raise InputError("--target_dirs is empty; expected at least one distribution")
        return [Shift("", name_of(each, f"--target_dirs, item {index}")) for index, each in enumerate(target_dirs)]
    if len(source_dirs) != len(target_dirs):
        raise InputError(
            f"--source_dirs has {len(source_dirs)} distributions, but --target_dirs has {len(target_dirs)}; "
            "expected one target for each source"
        )
    if not source_dirs:
        raise InputError("--source_dirs and --target_dirs are empty; expected at least one distribution in each")
    return [
        Shift(name_of(source, f"--source_dirs, item {index}"), name_of(target, f"--target_dirs, item {index}"))
        for index, (source, target) in enumerate(zip(source_dirs, target_dirs, strict=True))
    ]


def folders(
    shifts: Iterable[Shift],
    distributions_dir: str | Path,
    given: Iterable[str | Path] = (),
    spare_dir: Path | None = None,
) -> dict[str, Path]:
    """The folder of each distribution in `shifts`, by name, in order of first mention. Folders may be missing.

    given: folders or names from --source_dirs and --target_dirs. An item with a path separator is a folder; all other
    names are folders in `distributions_dir`, or in `spare_dir` if `distributions_dir` does not contain them.
    """

    def place(name: str) -> Path:
        folder = Path(distributions_dir) / name
        return spare_dir / name if spare_dir and not folder.is_dir() and (spare_dir / name).is_dir() else folder

    by_name: dict[str, Path] = {}
    for item in given:
        name = name_of(item, "--source_dirs or --target_dirs")
        folder = _folder_of(item, name) if is_folder_argument(item) else place(name)
        if by_name.setdefault(name, folder).resolve() != folder.resolve():
            raise InputError(
                f"{by_name[name]} and {folder} are two folders with the same name; results are stored by name, so "
                "rename one of them"
            )
    listed = (name for shift in shifts for name in (shift.source, shift.target, shift.target_reference) if name)
    names = list(dict.fromkeys(listed))
    check_distinct(names, "the distributions")
    return {name: by_name.get(name) or place(name) for name in names}


def first_mention(shifts: Iterable[Shift], name: str) -> tuple[int, str] | None:
    """The index, from 0, of the first shift that names a distribution, and the field that names it."""
    for index, shift in enumerate(shifts):
        for field in ("source", "target", "target_reference"):
            if getattr(shift, field) == name:
                return index, field
    return None


def resolve(name: str, distributions_dir: str | Path, where: str = "") -> Path:
    """The folder of the distribution `name`. Raises InputError with the nearest names if it does not exist.

    where: start of the message, such as "shift file a.json, entry 3, field target".
    """
    check_name(name, "distribution")
    parent = Path(distributions_dir)
    folder = parent / name
    if folder.is_dir():
        return folder
    known = sorted(each.name for each in parent.iterdir() if each.is_dir()) if parent.is_dir() else []
    near = difflib.get_close_matches(name, known)
    if not parent.is_dir():
        found = "that folder does not exist"
    elif near:
        found = f"nearest names: {', '.join(near)}"
    else:
        found = f"it contains {len(known)} others"
    place = f"{where}: " if where else ""
    raise InputError(f"{place}unknown distribution {name!r}: no such folder in {parent} ({found}); {_ADVICE}")


_ADVICE = (
    "check the spelling, run `python download_data.py` to download the official distributions, "
    "or pass another folder with --distributions_dir"
)


def unique_pairs(shifts: Iterable[Shift]) -> list[Shift]:
    """The first shift with each (source, target, target_reference), in order."""
    first: dict[tuple[str, str, str], Shift] = {}
    for shift in shifts:
        first.setdefault(_key(shift), shift)
    return list(first.values())


def repeats(shifts: Iterable[Shift]) -> list[Shift]:
    """The shifts that repeat the (source, target, target_reference) of an earlier one, in order."""
    seen: set[tuple[str, str, str]] = set()
    again: list[Shift] = []
    for shift in shifts:
        if _key(shift) in seen:
            again.append(shift)
        seen.add(_key(shift))
    return again


def _key(shift: Shift) -> tuple[str, str, str]:
    return shift.source, shift.target, shift.target_reference


def _shift(entry: Any, where: str) -> Shift:
    if isinstance(entry, list):
        if len(entry) != 2:
            raise InputError(f"{where}: expected a pair [source, target], got {len(entry)} items")
        entry = dict(zip(("source", "target"), entry, strict=True))
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with source and target, got {_show(entry)}")
    for key in entry:
        if key not in FIELDS and not key.startswith("_"):
            near = difflib.get_close_matches(key, FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ";"
            raise InputError(f"{where}, field {_show(key)} is unknown{hint} Known: {', '.join(FIELDS)}")
    if "target" not in entry:
        raise InputError(f"{where}, field target is missing; expected the name of a distribution")
    named = [field for field in ("source", "target") if field in entry]
    named += ["target_reference"] if entry.get("target_reference") is not None else []
    names = {field: _name(entry[field], f"{where}, field {field}") for field in named}
    if "source" not in entry and "target_reference" in entry:
        raise InputError(f"{where}, field target_reference has no effect without a source; remove it, or add a source")
    label, category = (entry.get(field) for field in ("label", "category"))
    if label is not None and label not in LABELS:
        raise InputError(f"{where}, field label: expected {' or '.join(LABELS)}, got {_show(label)}")
    if category is not None and not (isinstance(category, str) and category.strip()):
        raise InputError(f"{where}, field category: expected text, got {_show(category)}")
    return Shift(names.get("source", ""), names["target"], names.get("target_reference", ""), label, category)


def _name(item: Any, where: str) -> str:
    """The name of a distribution that an entry names, or names the folder of."""
    return name_of(item, where) if _is_path(item) else check_name(item, where)


def _is_path(item: Any) -> TypeGuard[str]:
    return isinstance(item, str) and is_folder_argument(item) and Path(item).name not in ("", "..")


def _folder_of(item: str | Path, name: str) -> Path:
    folder = Path(item)
    return folder if folder.name == name else folder.resolve()


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
