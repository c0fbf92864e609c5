"""What is said of the package in several places is the same."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_uv_gets_the_versions_that_results_depend_on_as_pip_does() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = settings["tool"]["uv"]["constraint-dependencies"]
    assert {*pinned} <= {*(ROOT / "constraints.txt").read_text(encoding="utf-8").split()}
    recorded = (ROOT / "src" / "genies" / "provenance.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"_PACKAGES = \((.*?)\)", recorded, re.DOTALL)
    assert {each.partition("==")[0] for each in pinned} == {*re.findall(r'"(.+?)"', listed)}
