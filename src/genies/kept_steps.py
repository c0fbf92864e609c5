"""The models after single steps of a training, which --keep_steps keeps below the folder of the tuned model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_NAME = re.compile(r"step-([1-9]\d*)")


def kept_step(model_dir: Path, step: int) -> Path:
    """The folder of the model after a step."""
    return model_dir / f"step-{step}"


def kept_steps(model_dir: Path) -> dict[int, Path]:
    """The folders of the models after single steps, by step, in order."""
    found = {int(match[1]): path for path in model_dir.glob("step-*") if (match := _NAME.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found) if found[step].is_dir()}


def remove_kept_steps(model_dir: Path) -> None:
    """Delete the models after single steps of an earlier training."""
    for folder in kept_steps(model_dir).values():
        if not folder.is_symlink():
            shutil.rmtree(folder)
