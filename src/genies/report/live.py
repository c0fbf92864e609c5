"""A report that is rewritten while a run goes on, with a status file that its pages poll.

The status file, status.js in the folder of the report, is a script that calls genies_status(value), because pages
opened from disk cannot load other files. The report at the end of the run has neither the file nor the polling.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genies.errors import InputError
from genies.files import write_text
from genies.report.embedding import script_json
from genies.report.placing import new_report
from genies.report.writing import Content, write_report, write_waiting_page

STATUS = "status.js"
_PAUSE = 10
"""The pause after a report is this many times as long as it took, so that jobs are not delayed."""
_SHORTEST_PAUSE = 10.0


class LiveReport:
    """Rewrites a report in a thread whenever jobs have ended. Use as a context manager around the run."""

    def __init__(self, output_dir: Path, content: Content) -> None:
        self._output_dir, self._content = output_dir, content
        self._started = time.monotonic()
        self._status: dict[str, Any] = {"total": 0, "done": 0, "failed": 0, "running": [], "seconds_left": None}
        self._number = 0
        self._changed, self._stopped = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._rewrite, name="live report", daemon=True)

    def __enter__(self) -> LiveReport:
        self._changed.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._changed.set()
        self._thread.join()

    def told(self, total: int, done: int, failed: int, running: Sequence[str]) -> None:
        """The progress of the run: number of jobs, of those that ended well and that failed, and the running ones."""
        ended = done + failed
        elapsed = time.monotonic() - self._started
        left = round(elapsed / ended * (total - ended)) if ended else None
        if ended > self._status["done"] + self._status["failed"]:
            self._changed.set()
        values = {"total": total, "done": done, "failed": failed, "running": list(running), "seconds_left": left}
        self._status = values
        self._write_status()

    def _write_status(self) -> None:
        with self._writing:
            if self._output_dir.is_dir():
                value = {**self._status, "report": self._number}
                write_text(self._output_dir / STATUS, f"genies_status({script_json(value)});\n")

    def _rewrite(self) -> None:
        while not self._stopped.is_set():
            self._changed.wait()
            self._changed.clear()
            if self._stopped.is_set():
                return
            begun = time.monotonic()
            content = replace(self._content, live=self._number + 1)
            try:
                write_report(self._output_dir, content)
            except InputError:  # there are no evaluations yet
                with new_report(self._output_dir) as folder:
                    write_waiting_page(folder, content)
            except OSError as error:
                print(f"the live report cannot be written: {error}", file=sys.stderr)
                return
            self._number += 1
            self._write_status()
            self._stopped.wait(max(_SHORTEST_PAUSE, _PAUSE * (time.monotonic() - begun)))
