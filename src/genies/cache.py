"""The folder for what may be deleted at any time: hashes of files, activations."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(root: Path) -> Path:
    """GENIES_CACHE from the environment, or .cache/genies under the project root."""
    return Path(os.environ.get("GENIES_CACHE") or root / ".cache" / "genies")
