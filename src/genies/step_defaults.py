"""Environment variables that a step's process gets unless the user has set them."""

from __future__ import annotations

import os


def step_defaults() -> dict[str, str]:
    """No access to a model hub, and threads of OpenMP that sleep soon while they wait for each other.

    When other work used the same cores, waiting in a loop made a forward pass ten times slower; on idle cores, sleeping
    costs almost nothing. OpenMP reads the variable when torch is imported.
    """
    sleep = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "1000"}
    return {"HF_HUB_OFFLINE": "1", **sleep}
