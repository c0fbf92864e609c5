"""Model folders written by downloads: which files belong in one, when it is complete, and how it is moved into place.

Imports no torch, so checking whether a model is already downloaded takes milliseconds.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genies.adapter_base import CONFIG, DOWNLOAD_RECORD, base_model_name
from genies.errors import InputError
from genies.files import read_json, sha256_of_file, write_json

RECORD = DOWNLOAD_RECORD
"""File in every downloaded folder that records its origin and its files."""

_COMPANIONS = re.compile(
    r"(config|generation_config|adapter_config|reward_model|reward_head|tokenizer|tokenizer_config|special_tokens_map)\.json"
    r"|(added_tokens|vocab|tekken|preprocessor_config|processor_config)\.json|reward_head\.safetensors"
    r"|vocab\.txt|merges\.txt|[\w-]+\.model|[\w-]+\.tiktoken|chat_template\.(json|jinja)|README\.md|LICENSE(\.\w+)?"
)
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "spiece.model",
)  # fmt: skip
"""A folder with its own tokenizer contains some of these files."""
_WEIGHTS = re.compile(r"(model|adapter_model)(-\d+-of-\d+)?\.safetensors")
_BOOKKEEPING = ("origin.json", "lock")
_PICKLED = re.compile(r".*\.(bin|pt|pth|ckpt|pkl)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from; a folder filled from the same origin is not filled again."""

    source: str
    """hub, pypi or local."""
    model_id: str
    revision: str | None = None
    """The requested branch, tag or commit; None for the newest."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The result of a download in the staging folder."""

    folder: Path
    details: dict[str, Any] = field(default_factory=dict)
    """Further fields of the record: the commit, notes on the weights."""


def choose_files(names: Iterable[str], remote_code: bool, where: str) -> list[str]:
    """Select the files of a model repository that belong in a model folder: configuration, tokenizer, safetensors
    weights and, with `remote_code`, Python files. Subfolders and copies of the weights in other formats are left out.

    Raises InputError if there is no configuration, or if the only weights are pickles, which are never loaded here.
    """
    top = sorted(name for name in names if re.fullmatch(r"[\w.+-]+", name))
    kept = [name for name in top if _COMPANIONS.fullmatch(name) or (remote_code and name.endswith(".py"))]
    if "config.json" not in top and "adapter_config.json" not in top:
        raise InputError(f"{where} is not a model: it has neither config.json nor adapter_config.json")
    weights = [name for name in top if _WEIGHTS.fullmatch(name)]
    if "model.safetensors" in weights:
        weights = [name for name in weights if not name.startswith("model-")]
    elif any(name.startswith("model-") for name in weights):
        weights += [name for name in top if name == "model.safetensors.index.json"]
    if not weights:
        weights = [name for name in top if name.endswith((".safetensors", ".safetensors.index.json"))]
    if not weights:
        pickled = [name for name in top if _PICKLED.fullmatch(name)]
        found = f"only pickles ({', '.join(pickled[:3])}), which can run code when loaded" if pickled else "none"
        raise InputError(f"{where}: expected weights in safetensors files, found {found}")
    return sorted({*kept, *weights})


def check_model_folder(folder: Path) -> None:
    """Raise InputError unless `folder` contains a complete model or adapter: configuration, tokenizer, and safetensors
    weights that are not truncated. An adapter's tokenizer may be in the folder of its base model.
    """
    if not folder.is_dir():
        raise InputError(f"model folder {folder} does not exist")
    names = {path.name for path in folder.iterdir()}
    choose_files(names, remote_code=False, where=f"model folder {folder}")
    is_adapter = "adapter_config.json" in names
    _read_object(folder / ("adapter_config.json" if is_adapter else "config.json"))
    if not is_adapter and not any(
        name in names for name in ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
    ):
        raise InputError(f"model folder {folder} has no tokenizer; expected tokenizer.json or tokenizer.model")
    needed = {name for name in names if name.endswith(".safetensors")}
    for index in folder.glob("*.safetensors.index.json"):
        weight_map = _read_object(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise InputError(f"{index}, field weight_map: expected an object {{tensor: file}}")
        needed |= {str(name) for name in weight_map.values()}
    for name in sorted(needed):
        check_safetensors(folder / name)


def check_safetensors(path: Path) -> None:
    """Raise InputError unless a safetensors file exists and has the size given in its header."""
    if not path.is_file():
        raise InputError(f"weights {path} are missing; download the model again")
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header: Any = json.loads(file.read(length)) if 0 < length <= size - 8 else None
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise InputError(
                f"weights {path} are not a safetensors file, or are damaged; download the model again"
            ) from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise InputError(
            f"weights {path} are truncated or damaged: expected {expected:,} bytes by the header, found {size:,}; "
            "download the model again"
        )


def base_model(folder: Path) -> str | None:
    """The base model of the adapter in `folder`, empty if it names none; None if `folder` contains a whole model."""
    return base_model_name(folder) if (folder / CONFIG).exists() else None


def needs_remote_code(folder: Path) -> bool:
    """Whether the configuration refers to classes in Python files of the model's repository."""
    path = folder / "config.json"
    return path.exists() and "auto_map" in _read_object(path)


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path, "model file")
    if not isinstance(value, dict):
        raise InputError(f"model file {path}: expected a JSON object")
    return value


def is_complete(folder: Path, origin: Origin, overwrite: bool) -> bool:
    """Whether `folder` already contains the model of `origin`, according to its record and its file sizes.

    Raises InputError, unless `overwrite` is set, if the folder contains anything else that a download would replace.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not folder.is_dir():
        raise InputError(f"output folder {folder} is a file; choose another name")
    fault = _difference(folder, origin)
    if fault is None:
        return True
    if not overwrite:
        raise InputError(f"{folder} {fault}; replace the whole folder with --overwrite True, or choose another folder")
    return False


def _difference(folder: Path, origin: Origin) -> str | None:
    if not (folder / RECORD).exists():
        return "is not empty and was not written by this command"
    record = _read_object(folder / RECORD)
    if record.get("model_id") != origin.model_id:
        return f"contains another model ({record.get('model_id')}, not {origin.model_id})"
    revisions = {record.get("revision"), record.get("commit")}
    if origin.revision not in revisions and not (origin.revision in (None, "main") and revisions & {None, "main"}):
        return f"contains {origin.model_id} at revision {record.get('revision') or record.get('commit')}"
    for name, entry in record.get("files", {}).items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != entry.get("size"):
            return f"is incomplete or was changed: {name} {'is missing' if found is None else f'has {found:,} bytes'}"
    return None


def fill(output_dir: Path, origin: Origin, download: Callable[[Path], Filled], overwrite: bool = False) -> bool:
    """Download the model of `origin` and rename it to `output_dir`; False if `output_dir` was already complete.

    `download` writes into a staging folder (`output_dir` + ".partial"), which still contains the files of an
    interrupted download of the same origin, and returns the model's folder in it. That folder is checked and gets its
    record before the rename.
    """
    output_dir = output_dir.resolve()
    if not output_dir.name:
        raise InputError(f"output folder {output_dir} is the root of the file system; choose a folder in it")
    staging = output_dir.with_name(output_dir.name + ".partial")
    replaced = staging / "replaced"
    _restore_replaced(replaced, output_dir)
    if is_complete(output_dir, origin, overwrite):
        return False
    staging.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(staging / "lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another download is writing to {output_dir}; wait until it ends") from None
    try:
        _keep_only_parts_of(origin, staging)
        filled = download(staging)
        check_model_folder(filled.folder)
        _write_record(filled, origin)
        if output_dir.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            output_dir.rename(replaced)
        filled.folder.rename(output_dir)
        shutil.rmtree(staging)
    finally:
        lock.release()
        _restore_replaced(replaced, output_dir)
        if not any(path.is_file() and path.name not in _BOOKKEEPING for path in staging.rglob("*")):
            shutil.rmtree(staging, ignore_errors=True)
    return True


def _restore_replaced(replaced: Path, output_dir: Path) -> None:
    """Restore the previous folder if its replacement stopped between the two renames."""
    if replaced.is_dir() and not output_dir.exists():
        replaced.rename(output_dir)


def _keep_only_parts_of(origin: Origin, staging: Path) -> None:
    wanted = {"source": origin.source, "model_id": origin.model_id, "revision": origin.revision}
    path = staging / "origin.json"
    if not path.exists() or path.read_text(encoding="utf-8") != json.dumps(wanted):
        for entry in staging.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in _BOOKKEEPING:
                entry.unlink()
        path.write_text(json.dumps(wanted), encoding="utf-8")


def _write_record(filled: Filled, origin: Origin) -> None:
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(filled.folder.iterdir())
        if path.name != RECORD
    }
    write_json(
        filled.folder / RECORD,
        {"source": origin.source, "model_id": origin.model_id, "revision": origin.revision, **filled.details}
        | {"files": files},
    )
