"""What a person sees who runs a command with a Python in which the package is not installed."""

import subprocess
import sys

import pytest

from tests.support.project import ROOT

COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for path in [*(ROOT / "api").glob("*.py"), ROOT / "download_data.py", ROOT / "download_model_from_hf.py"]
    if path.name != "installed.py"
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_how_to_install_what_it_needs(command: str) -> None:
    # -S: without the packages of this Python's environment.
    done = subprocess.run(
        [sys.executable, "-S", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "pip install -e ." in done.stderr
