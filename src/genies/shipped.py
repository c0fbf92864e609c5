"""The project's own files: interventions, lists of shifts and the starter distributions.

A checkout has them at its root. An installed wheel has copies in the package, so that the documented names
(`src/interventions/mms`, `distribution_shifts/GENIES.json`) work in any folder.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]

SHIPPED = _CHECKOUT if (_CHECKOUT / "src" / "interventions").is_dir() else _PACKAGE / "project"
"""The folder that contains src/interventions, distribution_shifts and distributions: the root of the checkout, or its
copy in an installed package."""


def or_shipped(path: Path) -> Path:
    """`path`, or the project's own file of this relative name where `path` does not exist."""
    own = SHIPPED / path
    return own if not path.is_absolute() and not path.exists() and own.exists() else path


def place(path: Path, root: Path) -> Path:
    """A relative path below `root`, or the project's own file of this name where `root` does not have it."""
    own = SHIPPED / path
    return root / path if (root / path).exists() or not own.exists() else own
