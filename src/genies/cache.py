"""The cache folder, which may be deleted at any time. It contains hashes of files and activations."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(root: Path) -> Path:
    """The environment variable GENIES_CACHE, or .cache/genies in the project root."""
    return Path(os.environ.get("GENIES_CACHE") or root / ".cache" / "genies")
