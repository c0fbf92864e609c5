"""Fixtures that several test folders use."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import scheduling
from tests.support.project import Project

# A shell starts background jobs with SIGINT ignored, and their children inherit that: the tests of Ctrl-C would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes depends on the machine, not on the code.
hypothesis.settings.register_profile("genies", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("genies")

# Tests with one of these markers are left out by --quick. Single tests have their marker where they are defined; all
# tests of a place or with a fixture get it here.
NOT_QUICK = {"process", "browser", "simulation", "real_model", "slow"}
MARKERS_OF_FIXTURES = {
    "project": "process",
    "cluster": "process",
    "bench": "process",
    "chromium": "browser",
    "made": "slow",
    "official_distributions": "slow",
}
MARKERS_OF_PLACES = {
    "benchmarks/": "process",
    "end_to_end/": "process",
    "harness/test_check_intervention.py": "process",
    "harness/test_faults.py": "process",
    "harness/test_process.py": "process",
    "harness/test_ray.py": "process",
    "interventions/test_human_eval.py": "process",
    "interventions/test_representations.py": "slow",
    "library/test_docs.py": "process",
    "library/test_import.py": "process",
    "lm/test_families.py": "slow",
    "methods/test_decoder_head.py": "slow",
    "methods/test_training_resume.py": "process",
    "test_download_data.py": "process",
    "test_download_model.py": "process",
    "test_locks.py": "process",
    "test_wheel.py": "process",
    "test_without_the_package.py": "process",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"leave out tests marked {', '.join(sorted(NOT_QUICK))}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        place = item.path.relative_to(here).as_posix()
        names = {MARKERS_OF_FIXTURES[fixture] for fixture in fixtures if fixture in MARKERS_OF_FIXTURES}
        names |= {marker for start, marker in MARKERS_OF_PLACES.items() if place.startswith(start)}
        for name in sorted(names):
            item.add_marker(name)
    if config.getoption("quick"):
        left_out = [item for item in items if any(mark.name in NOT_QUICK for mark in item.iter_markers())]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    scheduling.shared_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.Scheduling:
    return scheduling.Scheduling(config, log)


def pytest_collection_finish() -> None:
    """What the test modules have imported stays until the end, so collecting garbage need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project of its own: distributions, a base model folder, interventions."""
    return Project(tmp_path)


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a test keeps in the cache folder is there for no other test; a small project has a folder of its own."""
    if "project" not in request.fixturenames:
        monkeypatch.setenv("GENIES_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from (family, tokenizer style) to a model folder, once a session (tests/support/tiny_models.py)."""
    made: dict[tuple[str, str], Path] = {}

    def folder(family: str = "llama", tokenizer: str = "byte_level") -> Path:
        if (family, tokenizer) not in made:
            # Imported here, so that tests of commands without a model need no torch.
            from tests.support.tiny_models import write_tiny_model

            made[family, tokenizer] = write_tiny_model(
                tmp_path_factory.mktemp("tiny") / f"{family}-{tokenizer}", family, tokenizer
            )
        return made[family, tokenizer]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_model_dir: Callable[..., Path]) -> Callable[..., Any]:
    """A function from (family, tokenizer style) to a loaded LanguageModel in float32 on the CPU."""
    made: dict[tuple[str, str], Any] = {}

    def model(family: str = "llama", tokenizer: str = "byte_level") -> Any:
        if (family, tokenizer) not in made:
            from genies.lm.arguments import ModelArguments
            from genies.lm.model import load_model

            # Without the cache, the tokenizer is that of transformers, whichever test is the first to load the model.
            arguments = ModelArguments(device="cpu", no_cache=True)
            made[family, tokenizer] = load_model(tiny_model_dir(family, tokenizer), arguments)
        return made[family, tokenizer]

    return model


@pytest.fixture(scope="session")
def official_distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the 66 official distributions and nothing else; skips where they are not to be had.

    Taken from GENIES_OFFICIAL_DISTRIBUTIONS, an unpacked folder, else from the archive in the folder `shared` beside
    the project (GENIES_SHARED names another), else from what download_data.py left in distributions/.
    """
    root = Path(__file__).resolve().parents[1]
    given = os.environ.get("GENIES_OFFICIAL_DISTRIBUTIONS")
    shared = Path(os.environ.get("GENIES_SHARED", root.parent / "shared"))
    archive = shared / "data" / "genies-datasets.tar.xz"
    folder = tmp_path_factory.mktemp("official")
    if given is None and archive.is_file():
        command = [sys.executable, "download_data.py", "--archive", str(archive), "--distributions_dir", str(folder)]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
        return folder
    here = Path(given or root / "distributions")
    for each in here.iterdir():
        if each.is_dir() and not each.name.startswith(("starter_", ".")):
            (folder / each.name).symlink_to(each.resolve())
    if not (folder / "us_history_textbook").exists():
        pytest.skip(f"the official distributions are not in {here}, nor is their archive {archive}")
    return folder
