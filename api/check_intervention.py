"""Check that an intervention's folder honours the contract.

python api/check_intervention.py src/interventions/mms
"""

from __future__ import annotations

import sys
from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.harness.checking.check import CheckRequest, check_intervention

ROOT = Path(__file__).resolve().parents[1]


def main(request: CheckRequest) -> int:
    return check_intervention(request, ROOT)


def as_flags(items: list[str]) -> list[str]:
    """Command-line items with the one that stands alone turned into --intervention_dir; every flag takes a value."""
    result: list[str] = []
    waiting = list(items)
    while waiting:
        item = waiting.pop(0)
        if not item.startswith("-"):
            result += ["--intervention_dir", item]
            continue
        result.append(item)
        if "=" not in item and item not in ("-h", "--help"):
            result += waiting[:1]
            del waiting[:1]
    return result


if __name__ == "__main__":
    sys.argv[1:] = as_flags(sys.argv[1:])
    run(main)
