"""Which files of an intervention's folder determine the results of train.py, and which those of eval.py.

These are the script and the .py files of the folder that it imports or names, found in the source without running it.
Files that only the other script imports are left out. Other files count for both scripts, notes only if a script names
them. If imports cannot be followed, every file counts: a needless computation is better than a wrong result.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import genies
from genies.declaration import FILE as DECLARATION
from genies.declaration import SCRIPTS, Role
from genies.file_hashes import FileHashes
from genies.folder_hashes import combined, files_below

_MENTIONS_GENIES = re.compile(rb"\bgenies\b")
"""Matches more than imports: a false match costs a computation, a missed import would give wrong results."""

_NOTES = {".md", ".rst", ".txt"}
_DYNAMIC_MODULES = {"importlib", "runpy", "imp", "pkgutil"}
_DYNAMIC = _DYNAMIC_MODULES | {"__import__", "exec", "eval"}
"""Names with which a script can import modules without an import statement."""


def intervention_identity(hashes: FileHashes, folder: Path, role: Role) -> dict[str, Any]:
    """Hashes of all files of an intervention and of those that determine one of its scripts; if a .py file mentions
    genies, also the version of the library's numerics."""
    if not folder.is_dir():
        return {"intervention_files": None, "code": None, "numerics_version": None}
    paths = [path for path in files_below(folder) if path != folder / DECLARATION]
    sources = (path for path in paths if path.suffix == ".py")
    uses_library = any(_MENTIONS_GENIES.search(path.read_bytes()) for path in sources)
    return {
        "intervention_files": combined(hashes, folder, paths),
        "code": combined(hashes, folder, determining(folder, paths, role)),
        "numerics_version": genies.NUMERICS_VERSION if uses_library else 0,
    }


def determining(folder: Path, paths: Sequence[Path], role: Role) -> list[Path]:
    """The files among `paths`, all below `folder`, that determine the result of a script."""
    modules = {path: _Module(folder, path) for path in paths if path.suffix == ".py"}
    own = _reached(folder / SCRIPTS[role], modules)
    left_out = set[Path]()
    if own is not None:
        (other,) = (folder / script for each, script in SCRIPTS.items() if each != role)
        # If the other script's imports cannot be followed, only that script itself is left out.
        left_out = (_reached(other, modules) or {other}) - own
    texts = {text for module in modules.values() for text in module.texts}
    notes = {path for path in paths if path.suffix.lower() in _NOTES}
    left_out |= {path for path in notes if not any(path.name in text or path.suffix in text for text in texts)}
    return [path for path in paths if path not in left_out and path != folder / DECLARATION]


def _reached(script: Path, modules: dict[Path, _Module]) -> set[Path] | None:
    """The script and the files of the folder that it imports, directly or indirectly; None if that is unclear."""
    found, waiting = set[Path](), [script]
    while waiting:
        path = waiting.pop()
        module = modules.get(path)
        if module is None or module.unclear:
            return None
        found.add(path)
        waiting += [each for each in module.imported(modules) if each not in found]
    return found


class _Module:
    """Imports and string constants in the source of a .py file."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder, self._path = folder, path
        self._names: list[tuple[Path, str]] = []
        self.texts: set[str] = set()
        """Its string constants, without docstrings."""
        self.unclear = path.is_symlink()  # Python would import from the folder of the link's target
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.unclear = True
            return
        documentation = set(map(id, _docstrings(tree)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._names += [(folder, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = path.parents[min(node.level, len(path.parents)) - 1] if node.level else folder
                module = f"{node.module}." if node.module else ""
                self._names += [(start, f"{module}{alias.name}") for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                self.texts.add(node.value)
            elif isinstance(node, ast.Attribute) and node.attr == "path":
                self.unclear |= isinstance(node.value, ast.Name) and node.value.id == "sys"
            elif isinstance(node, ast.Name) and node.id in _DYNAMIC:
                self.unclear = True
        imported = {name.split(".")[0] for _, name in self._names}
        self.unclear |= not imported.isdisjoint(_DYNAMIC_MODULES) or "sys.path" in (name for _, name in self._names)

    def imported(self, known: Collection[Path]) -> set[Path]:
        """The files in `known` that its import statements can read, including packages' __init__.py, and those named
        in one of its string constants, because it may run them."""
        found = {path for path in known if any(path.name in text for text in self.texts)}
        for start, name in self._names:
            place = start
            for part in name.split("."):
                found |= {place / f"{part}.py", (place := place / part) / "__init__.py"}
        return found.intersection(known)


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value
