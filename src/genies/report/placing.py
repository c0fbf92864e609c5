"""Where a report is written: all of it or nothing, and never over something that is no report."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genies.errors import InputError

MARKER = "genies-report.json"
"""The file by which a folder is known to be a report that may be replaced."""

_CONTENT = json.dumps({"what": "a report made by genies; the folder is replaced when it is made again"}) + "\n"


def check_place(output_dir: Path) -> None:
    """InputError for a place where no report may be written: a file, a folder that holds something else, and one
    where none can be.
    """
    if output_dir.is_dir():
        if any(output_dir.iterdir()) and not (output_dir / MARKER).is_file():
            raise InputError(
                f"{output_dir} is there and no report (it holds no {MARKER}); "
                "name a new folder, so that nothing of yours is deleted"
            )
    elif output_dir.exists() or output_dir.is_symlink():
        raise InputError(f"{output_dir} is no folder; expected the name of a folder for the report")
    if not output_dir.name:
        raise InputError(f"{output_dir} has no name; expected the name of a folder for the report")
    nearest = next(folder for folder in output_dir.resolve().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"{output_dir}: nothing can be written in {nearest} ({error.strerror}); name another folder for the report"
        ) from None


@contextmanager
def new_report(output_dir: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of `output_dir` when all went well, and is deleted when it did not."""
    output_dir = output_dir.resolve()
    check_place(output_dir)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(6)
    building = output_dir.parent / f".{output_dir.name[:40]}.{mark}.partial"
    building.mkdir()
    try:
        yield building
        (building / MARKER).write_text(_CONTENT, encoding="utf-8")
        if output_dir.exists():
            old = output_dir.parent / f".{output_dir.name[:40]}.{mark}.replaced"
            output_dir.rename(old)
            building.rename(output_dir)
            shutil.rmtree(old, ignore_errors=True)
        else:
            building.rename(output_dir)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
