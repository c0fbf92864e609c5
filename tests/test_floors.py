"""The floors of src/genies: a package imports only packages below it, and the lower ones never load torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT

SOURCE = ROOT / "src" / "genies"
FLOORS = {
    "harness": 2,
    "lm": 2,
    "methods": 3,
    "main_job": 3,
    "report": 3,
    "card": 4,
    "learning_curve": 4,
    "reanalysis": 4,
    "library": 5,
    "commands": 5,
    "__main__": 6,
}
"""Of the packages in src/genies; all others are on floor 1."""
WITHOUT_TORCH = {"harness", "main_job", "report", "card", "learning_curve", "reanalysis", "commands"}
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def part(module: str) -> str:
    """The package or module directly below genies."""
    return module.split(".")[1] if "." in module else ""


def imported(path: Path) -> Iterator[str]:
    """The full names of what a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_its_own_package_and_from_floors_below(module: Path) -> None:
    own = module.parts[0].removesuffix(".py")
    floor = FLOORS.get(own, 1)
    for name in imported(SOURCE / module):
        if name.split(".")[0] == "genies":
            other = part(name)
            below = FLOORS.get(other, 1) < floor or (FLOORS.get(other, 1) == floor == 1)
            assert other == own or below, f"{module} on floor {floor} imports {name}"
        elif name.split(".")[0] in ("torch", "transformers", "peft"):
            assert floor > 1, f"{module} imports {name}"
            assert own not in WITHOUT_TORCH, f"{module} imports {name}"
