"""Report the progress of training: a progress bar, training_log.jsonl, TensorBoard curves."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genies.errors import InputError
from genies.files import write_text

LOG = "training_log.jsonl"


class Record:
    """Stores and shows one entry per step; only the main process writes and prints."""

    def __init__(self, output_dir: Path, steps: int, tensorboard: bool, is_main: bool, done: list[dict[str, Any]]):
        """`done` are the entries of a training that is resumed; `steps` is the total number of steps."""
        self.entries = list(done)
        self._is_main = is_main
        self._log: Any = None
        self._curves: Any = None
        self._bar = tqdm(
            total=steps,
            initial=len(done),
            desc="training",
            unit="step",
            file=sys.stderr,
            mininterval=0.1 if sys.stderr.isatty() else 10,
            disable=not is_main,
        )
        if is_main:
            output_dir.mkdir(parents=True, exist_ok=True)
            write_text(output_dir / LOG, "".join(_line(entry) for entry in done))
            self._log = open(output_dir / LOG, "a", encoding="utf-8")  # noqa: SIM115
            if tensorboard:
                self._curves = _tensorboard(output_dir / "tensorboard")
                for entry in done:
                    self._draw(entry)

    def add(self, entry: dict[str, Any]) -> None:
        """Store and show the entry of one step."""
        self.entries.append(entry)
        if not self._is_main:
            return
        self._log.write(_line(entry))
        self._log.flush()
        self._bar.set_postfix(loss=f"{entry['loss']:.3f}", accuracy=f"{entry['accuracy']:.2f}", refresh=False)
        self._bar.update()
        self._draw(entry)

    def _draw(self, entry: dict[str, Any]) -> None:
        if self._curves is not None:
            for name, value in entry.items():
                if name != "step" and value is not None:  # the norm is None if the gradient overflowed in float16
                    self._curves.add_scalar(f"train/{name}", value, entry["step"])

    def close(self) -> None:
        """Close the progress bar and the files."""
        self._bar.close()
        for file in (self._log, self._curves):
            if file is not None:
                file.close()


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"


def check_tensorboard() -> None:
    """Raise InputError unless the package is installed; call it before a model is loaded."""
    if find_spec("tensorboard") is None:
        raise InputError("--tensorboard True needs the package tensorboard: pip install -e .[tensorboard]")


def _tensorboard(folder: Path) -> Any:
    """A writer of curves to an emptied folder, because the curves of a resumed training are written again."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder))
