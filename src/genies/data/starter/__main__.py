"""Generate the starter suite: python -m genies.data.starter OUTPUT_DIR."""

from __future__ import annotations

import sys
from pathlib import Path

from genies.data.starter.suite import write_suite
from genies.errors import InputError, run_command


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise InputError("expected one argument, the folder to write into: python -m genies.data.starter OUTPUT_DIR")
    for folder in write_suite(Path(sys.argv[1])):
        print(folder)


if __name__ == "__main__":
    run_command(main)
