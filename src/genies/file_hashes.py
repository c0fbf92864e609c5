"""sha256 of files, cached by the files' metadata, so that large weights are read once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from genies.errors import InputError
from genies.files import read_text, sha256_of_file, write_text

_SETTLED_SECONDS = 2.0
"""The hash of a file that changed more recently is not stored: a later change could have the same time stamp."""


class FileHashes:
    """Content hashes of files. `memory` is the JSON file in which they are stored; with None they are not stored.

    A stored hash is used only if size, modification time, change time and inode are unchanged.
    """

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory
        self._known: dict[str, list[object]] = {}
        self._changed = False
        self._this_run: dict[str, tuple[list[int], str]] = {}
        if memory is not None:
            try:
                known = json.loads(read_text(memory, "memory of hashes"))
                self._known = known if isinstance(known, dict) else {}
            except (InputError, OSError, ValueError, RecursionError):
                pass  # without the stored hashes, the files are read again

    def of(self, path: Path) -> str:
        """Hexadecimal sha256 of a file's content."""
        status = path.stat()
        key = os.path.abspath(path)  # noqa: PTH100 - Path.absolute() keeps `..`
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = self._known.get(key)
        if isinstance(entry, list) and entry[:-1] == mark and isinstance(entry[-1], str):
            return entry[-1]
        if key in self._this_run and self._this_run[key][0] == mark:
            return self._this_run[key][1]
        content = sha256_of_file(path)
        self._this_run[key] = (mark, content)
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS:
            self._known[key] = [*mark, content]
            self._changed = True
        return content

    def save(self) -> None:
        """Store the new hashes. Errors are ignored, because the file only saves time."""
        if self._memory is None or not self._changed:
            return
        try:
            write_text(self._memory, json.dumps(self._known))
        except (OSError, InputError):
            return
        self._changed = False
