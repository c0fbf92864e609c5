"""The output folder of a report, which is replaced atomically, and only if it contains a report."""

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
"""The file that marks a folder as a report, which may be replaced."""

_CONTENT = json.dumps({"what": "a report made by genies; the folder is replaced when it is made again"}) + "\n"


def check_place(output_dir: Path) -> None:
    """Raise InputError if no report can be written to `output_dir`.

    It must not be a file or a folder with other content, and its parent must be writable.
    """
    if output_dir.is_dir():
        if any(output_dir.iterdir()) and not (output_dir / MARKER).is_file():
            raise InputError(
                f"{output_dir} exists and is not a report (it contains no {MARKER}); "
                "choose a new folder, so that nothing is deleted"
            )
    elif output_dir.exists() or output_dir.is_symlink():
        raise InputError(f"{output_dir} is not a folder; expected the name of a folder for the report")
    if not output_dir.name:
        raise InputError(f"{output_dir} has no name; expected the name of a folder for the report")
    nearest = next(folder for folder in output_dir.resolve().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"{output_dir}: nothing can be written in {nearest} ({error.strerror}); choose another folder"
        ) from None


@contextmanager
def new_report(output_dir: Path) -> Iterator[Path]:
    """A new folder that replaces `output_dir` at the end, or is deleted if an exception is raised."""
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
