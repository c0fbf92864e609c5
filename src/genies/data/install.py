"""Install the distributions of an archive into a folder. Each is validated first; existing ones are kept by default."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genies.data.archive import unpack
from genies.data.distribution import Distribution
from genies.errors import InputError
from genies.files import read_json, sha256_of_file, write_json
from genies.locks import alone

FILES = ("train.json", "test.json", "metadata.json")
"""The files of a distribution in the archive. Other files are skipped."""

WORK_FOLDER = ".genies_download"
"""Folder in the folder of distributions for downloads in progress and the record of a finished download."""

Status = Literal["installed", "already there", "replaced", "kept", "invalid"]


@dataclass(frozen=True, slots=True)
class Installed:
    """The result for one distribution of the archive."""

    name: str
    status: Status
    train_examples: int = 0
    test_examples: int = 0
    fault: str = ""
    """For an invalid one: the file, the example, the field and what was expected."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The result for an archive."""

    distributions: list[Installed] = field(default_factory=list)
    stray_files: int = 0
    """Number of files in the archive that belong to no distribution and were skipped."""

    def with_status(self, status: Status) -> list[Installed]:
        """The distributions with one status, by name."""
        return [each for each in self.distributions if each.status == status]


@contextmanager
def work_folder(distributions_dir: Path) -> Iterator[Path]:
    """The hidden work folder of a download, locked against a second download and removed at the end if it is empty."""
    try:
        distributions_dir.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--distributions_dir {distributions_dir} is a file; expected a folder") from None
    folder = distributions_dir / WORK_FOLDER
    folder.mkdir(exist_ok=True)
    try:
        with alone(folder / "lock", f"another download is running into {distributions_dir}; wait for it to end"):
            yield folder
    finally:
        with contextlib.suppress(OSError):  # it is not empty, or another download uses it
            folder.rmdir()


def install(archive: Path, distributions_dir: Path, work: Path, overwrite: bool = False) -> Installation:
    """Install all valid distributions of `archive` in `distributions_dir`, each with one rename.

    `work` is a folder on the same file system. An existing distribution with other content is replaced only with
    `overwrite`. Raises InputError, and installs nothing, if the archive is damaged or malicious or contains no
    distribution.
    """
    staging, replaced = work / "staging", work / "replaced"
    _give_back(replaced, distributions_dir)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        stray_files = unpack(archive, staging, _place)
        names = sorted(
            folder.name for folder in staging.iterdir() if any((folder / file).exists() for file in FILES[:2])
        )
        if not names:
            raise InputError(
                f"archive {archive} contains no distribution; expected distributions/NAME/train.json and test.json"
            )
        checked = [_check(staging, name) for name in names]
        moved = [
            each if each.status == "invalid" else _move(each, staging, distributions_dir, replaced, overwrite)
            for each in checked
        ]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _give_back(replaced, distributions_dir)
    return Installation(moved, stray_files)


def _place(parts: tuple[str, ...]) -> Path | None:
    if parts and parts[0] == "distributions":
        parts = parts[1:]
    if len(parts) != 2 or parts[1] not in FILES or parts[0].startswith((".", "-")):
        return None
    return Path(*parts)


def _check(staging: Path, name: str) -> Installed:
    missing = [file for file in FILES if not (staging / name / file).exists()]
    if missing:
        return Installed(name, "invalid", fault=f"{name} has no {' and no '.join(missing)}")
    distribution = Distribution(staging / name)
    try:
        train, test = distribution.split("train"), distribution.split("test")
        _ = distribution.metadata
    except InputError as error:
        return Installed(name, "invalid", fault=str(error).replace(f"{staging}/", ""))
    return Installed(name, "installed", len(train), len(test))


def _move(each: Installed, staging: Path, distributions_dir: Path, replaced: Path, overwrite: bool) -> Installed:
    source, target = staging / each.name, distributions_dir / each.name
    status: Status = "installed"
    if target.is_symlink() or (target.exists() and not _is_empty_folder(target)):
        if all(_same(source / file, target / file) for file in FILES):
            status = "already there"
        elif not overwrite:
            status = "kept"
        else:
            status = "replaced"
            replaced.mkdir(exist_ok=True)
            target.rename(replaced / each.name)
    if status in ("installed", "replaced"):
        source.rename(target)
    return Installed(each.name, status, each.train_examples, each.test_examples)


def _give_back(replaced: Path, distributions_dir: Path) -> None:
    """Restore a distribution whose replacement stopped between its two renames; delete those that were replaced."""
    if replaced.is_dir():
        for folder in replaced.iterdir():
            target = distributions_dir / folder.name
            if not target.exists() and not target.is_symlink():
                folder.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def write_record(work: Path, distributions_dir: Path, url: str, sha256: str, names: list[str]) -> None:
    """Record what a finished download installed, so that the next run need not download it again."""
    write_json(work / "record.json", {"url": url, "sha256": sha256, "files": _digests(distributions_dir, names)})


def recorded_names(work: Path, distributions_dir: Path, url: str, sha256: str | None) -> list[str] | None:
    """The distributions that a finished download of `url` installed; None unless all are still there unchanged."""
    path = work / "record.json"
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = read_json(path, "download record")
        files: dict[str, Any] = record["files"]
        if record["url"] != url or (sha256 is not None and record["sha256"] != sha256):
            return None
        return sorted(files) if _digests(distributions_dir, list(files)) == files else None
    except (InputError, OSError, KeyError, TypeError):
        return None


def _digests(distributions_dir: Path, names: list[str]) -> dict[str, dict[str, str]]:
    return {name: {file: sha256_of_file(distributions_dir / name / file) for file in FILES} for name in names}
