"""Check that an intervention's folder honours the contract.

python api/check_intervention.py src/interventions/mms
"""

from __future__ import annotations

from pathlib import Path

from genies.harness.checking.check import CheckRequest, check_intervention


def main(request: CheckRequest, root: Path) -> int:
    return check_intervention(request, root)
