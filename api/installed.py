"""Imported first by every command: before the libraries are loaded, which takes a second, it makes Ctrl-C end the
command with one line, and says what to do where genies is not installed for this Python."""

import sys
from importlib.util import find_spec
from pathlib import Path

_MISSING = [name for name in ("genies", "pydantic", "yaml", "numpy") if find_spec(name) is None]

if _MISSING:
    print(
        f"error: {', '.join(_MISSING)} cannot be imported by {sys.executable}; expected the Python of an environment "
        "in which this project is installed: pip install -e . in the one you use, or bash examples/quickstart.sh, "
        "which makes .venv, and then .venv/bin/python",
        file=sys.stderr,
    )
    sys.exit(2)

_HERE = Path(__file__).resolve().parent
_COMMAND = getattr(sys.modules["__main__"], "__file__", None)
if _COMMAND is not None and Path(_COMMAND).resolve().parent in (_HERE, _HERE.parent):
    # A program that imports a command keeps its own way to be interrupted.
    from genies.errors import interrupt_without_traceback

    interrupt_without_traceback()
