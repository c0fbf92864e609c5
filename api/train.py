"""Train one intervention on one source distribution."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.harness.single import TrainRequest, train

ROOT = Path(__file__).resolve().parents[1]


def main(request: TrainRequest) -> int:
    return train(request, ROOT)


if __name__ == "__main__":
    run(main)
