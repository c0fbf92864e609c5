"""Imported first by every command: before the libraries are loaded, which takes a second, it makes Ctrl-C end the
command with one line, and says what to do where genies is not installed for this Python."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

_HERE = Path(__file__).resolve().parent


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: in the middle of an import, a KeyboardInterrupt would be a traceback or a failed import."""
    os.write(2, b"interrupted; run the same command again to go on from here\n")
    os._exit(130)


_COMMAND = getattr(sys.modules["__main__"], "__file__", None)
if (
    _COMMAND is not None  # a program that imports a command keeps its own way to be interrupted
    and Path(_COMMAND).resolve().parent in (_HERE, _HERE.parent)
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _end)  # until genies.errors.run_command takes over

_MISSING = [name for name in ("genies", "pydantic", "yaml", "numpy") if find_spec(name) is None]

if _MISSING:
    print(
        f"error: {', '.join(_MISSING)} cannot be imported by {sys.executable}; expected the Python of an environment "
        "in which this project is installed: pip install -e . in the one you use, or bash examples/quickstart.sh, "
        "which makes .venv, and then .venv/bin/python",
        file=sys.stderr,
    )
    sys.exit(2)
