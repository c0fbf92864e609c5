"""The cache folder, which may be deleted at any time. It contains hashes of files, activations, and
outlines of models."""

from __future__ import annotations

import os
from pathlib import Path

from genies.shipped import SHIPPED


def cache_dir(root: Path) -> Path:
    """GENIES_CACHE from the environment; else .cache/genies, in the project's checkout if `root` is it, or in the
    user's home (in XDG_CACHE_HOME, if that is set, without the .cache).

    A folder in which somebody works with the installed library gets no cache.
    """
    if given := os.environ.get("GENIES_CACHE"):
        return Path(given)
    local = root / ".cache" / "genies"
    if local.is_dir() or root.resolve() == SHIPPED:
        return local
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "genies"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where a container's user has no home
    return home / ".cache" / "genies" if home.is_dir() else local
