"""Train one intervention on one source distribution."""

from __future__ import annotations

from pathlib import Path

from genies.harness.single import TrainRequest, train


def main(request: TrainRequest, root: Path) -> int:
    return train(request, root)
