"""Which base model an adapter stands on, told by its files alone. Imports no torch: the harness asks as well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from genies.errors import InputError
from genies.files import read_json

CONFIG = "adapter_config.json"
"""In an adapter's folder: its kind, and the base model by the name that it went by in training."""

BASE_RECORD = "base_model.json"
"""In a folder that training left: where the base model lay."""

DOWNLOAD_RECORD = "genies_download.json"
"""In a folder that a download filled: where it came from and what it holds."""


def base_model_name(folder: Path) -> str:
    """The name of its base model in an adapter's configuration; empty where it names none."""
    value = read_json(folder / CONFIG, "adapter configuration")
    name = value.get("base_model_name_or_path") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def base_model_revision(folder: Path) -> str | None:
    """The branch, tag or commit of its base model in an adapter's configuration; None where it names none."""
    value = read_json(folder / CONFIG, "adapter configuration")
    revision = value.get("revision") if isinstance(value, dict) else None
    return revision if isinstance(revision, str) and revision else None


def recorded_base_model(folder: Path) -> Path | None:
    """The base model that training recorded in a tuned model's folder; None without a record, InputError for a damaged
    one."""
    path = folder / BASE_RECORD
    if not path.is_file():
        return None
    value = read_json(path, "record of the base model")
    base = value.get("base_model_dir") if isinstance(value, dict) else None
    if not isinstance(base, str):
        raise InputError(f"{path}: expected an object with base_model_dir, the base model's folder; train again")
    return Path(base)


def find_base_model(folder: Path, given: Path | None = None, root: Path = Path()) -> Path:
    """The folder of an adapter's base model: the one given, the one recorded in training, or one found beside the
    adapter or in models/, by its download record before its folder's name.

    Relative paths stand under `root`, the project. Raises InputError where there is none.
    """
    if given is not None:
        if not _is_model(root / given):
            raise InputError(f"--base_model_dir {given} has no config.json; expected the base model's folder")
        return root / given
    recorded, name = recorded_base_model(folder), base_model_name(folder)
    if recorded is not None and _is_model(root / recorded):
        return root / recorded
    roots = [folder.resolve().parent, root / "models"]
    names = dict.fromkeys(each for each in (name, str(recorded or "")) if each)
    found = [each for each in _candidates(names, roots, root) if _is_model(each)]
    revision = base_model_revision(folder)
    chosen = next((each for each in found if _holds(each, revision) is not False), None)
    if chosen is None and found:
        raise InputError(_other_revision(folder, found[0], name, revision))
    if chosen is None:
        raise InputError(_not_found(folder, recorded, name))
    return chosen


def revision_doubt(folder: Path, base: Path) -> str | None:
    """A sentence where it is not known that `base` is of the revision that an adapter names; None where all is well."""
    revision = base_model_revision(folder)
    if _holds(base, revision):
        return None
    record = base / DOWNLOAD_RECORD
    held = f"is of the revision {_revisions(record)[0]}" if record.is_file() else "does not say of which revision it is"
    return f"the adapter names the revision {revision} of its base model, and {base} {held}"


def _holds(base: Path, revision: str | None) -> bool | None:
    """Whether a base model's folder is of a revision, by its download record; None where none says so.

    A download without a revision is of the branch main.
    """
    if revision is None:
        return True
    if not (base / DOWNLOAD_RECORD).is_file():
        return None
    held = _revisions(base / DOWNLOAD_RECORD)
    short = re.fullmatch(r"[0-9a-f]{7,40}", revision) is not None
    return revision in held or (short and any(each.startswith(revision) for each in held))


def _revisions(record: Path) -> list[str]:
    """The names of the revision that a download brought: the one asked for, and its commit."""
    value = read_json(record, "download record")
    found = [value.get("revision") or "main", value.get("commit")] if isinstance(value, dict) else []
    return [each for each in found if isinstance(each, str)] or ["unknown"]


def _candidates(names: dict[str, None], roots: list[Path], root: Path) -> Iterator[Path]:
    for name in names:
        for each in roots:
            yield from (
                record.parent for record in sorted(each.glob(f"*/{DOWNLOAD_RECORD}")) if _origin(record) == name
            )
    for name in names:
        yield root / name
        short = name.rstrip("/").rpartition("/")[2]
        for each in roots if short not in ("", ".", "..") else ():
            origin = _origin(each / short / DOWNLOAD_RECORD)
            if origin is None or not _differ(origin, name):
                yield each / short


def _differ(one: str, other: str) -> bool:
    """Whether two names cannot mean one model: other last parts, or other owners on the hub.

    >>> _differ("a/model", "b/model"), _differ("a/model", "model"), _differ("a/model", "/disk/models/model")
    (True, False, False)
    """
    (owner, _, name), (other_owner, _, other_name) = (each.rstrip("/").rpartition("/") for each in (one, other))
    owners = {each for each in (owner, other_owner) if each and "/" not in each}
    return name != other_name or len(owners) > 1


def _is_model(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file()
    except (OSError, ValueError):  # a name too long for a file, or with a NUL character
        return False


def _origin(record: Path) -> str | None:
    try:
        value = read_json(record, "download record")
    except (InputError, OSError):
        return None
    origin = value.get("model_id") if isinstance(value, dict) else None
    return origin if isinstance(origin, str) else None


def _other_revision(folder: Path, found: Path, name: str, revision: str | None) -> str:
    return (
        f"the adapter in {folder} needs its base model {name[:100]} at the revision {str(revision)[:100]}, and {found} "
        f"is of the revision {_revisions(found / DOWNLOAD_RECORD)[0]}; fetch it with python download_model_from_hf.py "
        f"{name[:100]} {found}-{str(revision)[:12]} --revision {str(revision)[:100]}, or name a folder with "
        "--base_model_dir"
    )


def _not_found(folder: Path, recorded: Path | None, name: str) -> str:
    shown = name if len(name) <= 100 else name[:97] + "..."
    short = shown.rstrip("/").rpartition("/")[2]
    where = "is not here" if recorded is None else f"is no longer in {str(recorded)[:100]}, nor found by its name"
    return (
        f"the adapter in {folder} needs its base model {shown or '(which it does not name)'}, which {where}; fetch it "
        f"with python download_model_from_hf.py {shown or 'MODEL_ID'} models/{short or 'NAME'}, or name its folder "
        "with --base_model_dir"
    )
