"""Install the results of the 2023 release from an archive of its repository or of its results folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from genies.contract import read_evaluation
from genies.data.archive import unpack
from genies.errors import InputError

FOLDERS = {"evaluations": ".json", "generalization_metrics": ".csv", "target_tuned_capability": ".json"}
"""The folders of a results folder, and the suffix of their files. Other files are skipped."""

_REPOSITORY_LEVELS = 1
"""An archive of the repository has one folder above results/, named after the branch."""


@dataclass(frozen=True, slots=True)
class InstalledResults:
    """What an archive contained, and what was done with it."""

    status: str
    """installed, replaced, already there, or kept (the folder exists with other content)."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of files by folder."""
    stray_files: int = 0
    unreadable: list[str] = field(default_factory=list)
    """A message for each evaluation that cannot be read. These files are installed too, as they were published."""


def install_results(archive: Path, results_dir: Path, overwrite: bool = False) -> InstalledResults:
    """Unpack the results in `archive` to `results_dir`, which appears complete or not at all.

    An existing folder with other content is replaced only with `overwrite`. Raises InputError, and changes nothing, if
    the archive is damaged or malicious or contains no results, and if `results_dir` is a file.
    """
    if results_dir.exists() and not results_dir.is_dir():
        raise InputError(f"--results_dir {results_dir} is a file; expected a folder")
    staging = results_dir.parent / f".{results_dir.name}.partial"
    replaced = results_dir.parent / f".{results_dir.name}.replaced"
    if replaced.is_dir() and not results_dir.exists():  # an earlier run was stopped between its two renames
        replaced.rename(results_dir)
    shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        stray_files = unpack(archive, staging, _place)
        files = _files(staging)
        if not any(path.startswith("evaluations/") for path in files):
            raise InputError(
                f"archive {archive} contains no results; expected results/evaluations/INTERVENTION/MODEL/TARGET.json"
            )
        status = "installed"
        if results_dir.is_dir() and any(results_dir.iterdir()):
            if _same(staging, results_dir, files):
                status = "already there"
            elif not overwrite:
                return InstalledResults("kept")
            else:
                status = "replaced"
        if status == "replaced":
            results_dir.rename(replaced)
        if status != "already there":
            staging.rename(results_dir)
    except OSError as error:
        raise InputError(f"--results_dir {results_dir} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    counts = {folder: sum(path.startswith(f"{folder}/") for path in files) for folder in FOLDERS}
    return InstalledResults(status, counts, stray_files, _unreadable(results_dir))


def _place(parts: tuple[str, ...]) -> Path | None:
    start = next((i for i, part in enumerate(parts[: _REPOSITORY_LEVELS + 1]) if part == "results"), None)
    if start is None or len(parts) < start + 4:
        return None
    inside = parts[start + 1 :]
    wanted = FOLDERS.get(inside[0]) == Path(inside[-1]).suffix and not any(part.startswith(".") for part in inside)
    return Path(*inside) if wanted else None


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _same(one: Path, other: Path, files: list[str]) -> bool:
    if _files(other) != files:
        return False
    return all((one / path).read_bytes() == (other / path).read_bytes() for path in files)


def _unreadable(results_dir: Path) -> list[str]:
    found = []
    for path in sorted((results_dir / "evaluations").rglob("*.json")):
        try:
            read_evaluation(path)
        except InputError as error:
            found.append(str(error))
    return found
