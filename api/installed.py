"""Imported first by every command: where genies is not installed for this Python, say what to do instead of failing
with a traceback."""

import sys
from importlib.util import find_spec

_MISSING = [name for name in ("genies", "pydantic", "yaml", "numpy") if find_spec(name) is None]

if _MISSING:
    print(
        f"error: {', '.join(_MISSING)} cannot be imported by {sys.executable}; expected the Python of an environment "
        "in which this project is installed: pip install -e . in the one you use, or bash examples/quickstart.sh, "
        "which makes .venv, and then .venv/bin/python",
        file=sys.stderr,
    )
    sys.exit(2)
