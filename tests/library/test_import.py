"""`import genies` itself: names, types, and no effect on anything else."""

import json
import os
import subprocess
import sys

import pytest

import genies
from tests.support.project import ROOT

# torch itself sets variables of its own.
IMPORTED = """
import json, logging, os, signal, sys
def state():
    ours = [item for item in os.environ.items() if not item[0].startswith("TORCH")]
    return [ours, str(signal.getsignal(signal.SIGINT)), os.getcwd(),
            [str(each) for each in logging.getLogger().handlers]]
before = state()
import genies
{use}
print(json.dumps([before == state(), sorted(sys.modules)]))
"""


def imported(use: str, folder: object) -> tuple[bool, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(use=use)],
        cwd=str(folder), capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    assert done.stderr == ""
    unchanged, modules = json.loads(done.stdout)
    return unchanged, set(modules)


def test_an_import_loads_no_library_and_changes_nothing(tmp_path) -> None:
    unchanged, modules = imported("dir(genies)", tmp_path)
    assert unchanged
    assert not {"torch", "numpy", "pandas", "pydantic", "transformers"} & modules
    assert list(tmp_path.iterdir()) == []


def test_data_studies_and_results_load_no_torch(tmp_path) -> None:
    names = "genies.Distribution, genies.read_shifts, genies.metrics, genies.read_results, genies.run_study"
    unchanged, modules = imported(f"{names}, genies.check_intervention", tmp_path)
    assert unchanged
    assert not {"torch", "transformers"} & modules
    assert {"genies.report.frames", "genies.metrics"} <= modules


def test_the_functions_that_run_models_change_nothing_when_imported(tmp_path) -> None:
    unchanged, modules = imported("genies.score_pairs, genies.read_activations, genies.load_model", tmp_path)
    assert unchanged
    assert "torch" in modules


def test_loading_a_model_leaves_the_environment_and_the_hub_as_they_were(tmp_path, tiny_model_dir) -> None:
    use = f"""
from huggingface_hub import constants
genies.load_model({str(tiny_model_dir())!r}, device="cpu")
assert not constants.HF_HUB_OFFLINE
"""
    assert imported(use, tmp_path)[0]
    assert list(tmp_path.iterdir()) == []


def test_within_loading_no_request_is_made() -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    from genies.lm.offline import offline

    with offline(), pytest.raises(OfflineModeIsEnabled):
        HfApi().model_info("gpt2")


@pytest.mark.parametrize("name", genies.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(genies, name)
    assert name in dir(genies)
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'run_studies'"):
        genies.run_studies  # noqa: B018


def test_type_checkers_see_the_names_that_are_there() -> None:
    """What the TYPE_CHECKING block imports, read from the source, is what __all__ and __getattr__ give."""
    import ast

    tree = ast.parse((ROOT / "src" / "genies" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(seen) == set(genies.__all__)
    for name, module in seen.items():
        assert name == "metrics" or genies._HOME[name] == module
