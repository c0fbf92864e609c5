"""Install the results of the 2023 release: its evaluations, its tables and the accuracies of its references."""

from __future__ import annotations

import shutil
from pathlib import Path

from genies.data.archive import Limits, unpack
from genies.errors import InputError
from genies.locks import alone

URL = "https://github.com/Joshuaclymer/GENIES/archive/refs/heads/main.tar.gz"
"""The repository of the release, which contains its results."""

PARTS = ("evaluations", "generalization_metrics", "target_tuned_capability")
"""The folders of its results that are installed."""


def install_results(archive: Path, results_dir: Path) -> int:
    """Unpack the JSON and CSV files of the release's results from an archive of its repository, or of its folder
    results/, into the new folder `results_dir`. Returns their number.

    The folder appears when it is complete. Raises InputError if it exists, and if the archive is damaged or contains no
    results.
    """
    if results_dir.exists():
        raise InputError(f"--results_dir {results_dir} exists; choose a new folder")
    results_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = results_dir.parent / f".{results_dir.name}.download"
    with alone(staging.with_suffix(".lock"), f"another download is running into {results_dir}; wait for it to end"):
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir()
            unpack(archive, staging, _place, Limits(members=100_000))
            count = sum(path.is_file() for path in staging.rglob("*"))
            if not (staging / PARTS[0]).is_dir():
                raise InputError(f"archive {archive} contains no results; expected results/evaluations/")
            staging.rename(results_dir)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return count


def _place(parts: tuple[str, ...]) -> Path | None:
    """The place of a member below the results folder; None if it is not a part of the results."""
    start = next((place for place, part in enumerate(parts[:2]) if part == "results"), None)
    if start is None or len(parts) < start + 3 or parts[start + 1] not in PARTS:
        return None
    rest = parts[start + 1 :]
    hidden = any(part.startswith((".", "-")) for part in rest)
    return None if hidden or not rest[-1].endswith((".json", ".csv")) else Path(*rest)
