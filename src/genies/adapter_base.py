"""Find the base model of an adapter from its files. Imports no torch, because the harness uses this module too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from genies.errors import InputError
from genies.files import read_json

CONFIG = "adapter_config.json"
"""In an adapter's folder: the kind of adapter and the name of the base model in training."""

BASE_RECORD = "base_model.json"
"""In the output folder of a training: the path of the base model."""

REWARD_RECORD = "reward_model.json"
"""In the folder of a reward model that was tuned here."""

DOWNLOAD_RECORD = "genies_download.json"
"""In a downloaded model's folder: its origin and its content."""


def base_model_name(folder: Path) -> str:
    """The name of the base model in an adapter's configuration; empty if there is none."""
    value = read_json(folder / CONFIG, "adapter configuration")
    name = value.get("base_model_name_or_path") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def base_model_revision(folder: Path) -> str | None:
    """The branch, tag or commit of the base model in an adapter's configuration; None if there is none."""
    value = read_json(folder / CONFIG, "adapter configuration")
    revision = value.get("revision") if isinstance(value, dict) else None
    return revision if isinstance(revision, str) and revision else None


def recorded_base_model(folder: Path) -> Path | None:
    """The base model that training recorded in a tuned model's folder; None without a record.

    Raises InputError if the record is damaged.
    """
    path = folder / BASE_RECORD
    if not path.is_file():
        return None
    value = read_json(path, "record of the base model")
    base = value.get("base_model_dir") if isinstance(value, dict) else None
    if not isinstance(base, str):
        raise InputError(f"{path}: expected an object with base_model_dir, the base model's folder; train again")
    return Path(base)


def find_base_model(folder: Path, given: Path | None = None, root: Path = Path()) -> Path:
    """The folder of an adapter's base model.

    The first that exists: `given`, the one recorded in training, or one found beside the adapter or in models/.
    A matching download record takes precedence over a matching folder name. Relative paths are relative to `root`,
    the project. Raises InputError if no base model is found.
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
    """A warning if `base` may not have the revision that the adapter names; None if it has that revision."""
    revision = base_model_revision(folder)
    if _holds(base, revision):
        return None
    record = base / DOWNLOAD_RECORD
    found = f"has the revision {_revisions(record)[0]}" if record.is_file() else "has no record of its revision"
    return f"the adapter names the revision {revision} of its base model, but {base} {found}"


def _holds(base: Path, revision: str | None) -> bool | None:
    """Whether a base model's folder has a revision, according to its download record; None without a record.

    A download without a revision is from the branch main.
    """
    if revision is None:
        return True
    if not (base / DOWNLOAD_RECORD).is_file():
        return None
    held = _revisions(base / DOWNLOAD_RECORD)
    short = re.fullmatch(r"[0-9a-f]{7,40}", revision) is not None
    return revision in held or (short and any(each.startswith(revision) for each in held))


def _revisions(record: Path) -> list[str]:
    """The names of a downloaded revision: the requested one, and its commit."""
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
    """Whether two names cannot mean the same model: the last parts differ, or the owners on the hub.

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
        f"the adapter in {folder} needs its base model {name[:100]} at the revision {str(revision)[:100]}, but {found} "
        f"has the revision {_revisions(found / DOWNLOAD_RECORD)[0]}; download it with python "
        f"download_model_from_hf.py {name[:100]} {found}-{str(revision)[:12]} --revision {str(revision)[:100]}, or "
        "pass a folder with --base_model_dir"
    )


def _not_found(folder: Path, recorded: Path | None, name: str) -> str:
    shown = name if len(name) <= 100 else name[:97] + "..."
    short = shown.rstrip("/").rpartition("/")[2]
    where = "was not found" if recorded is None else f"is no longer in {str(recorded)[:100]} and was not found by name"
    return (
        f"the adapter in {folder} needs its base model {shown or '(which it does not name)'}, which {where}; download "
        f"it with python download_model_from_hf.py {shown or 'MODEL_ID'} models/{short or 'NAME'}, or pass its folder "
        "with --base_model_dir"
    )
