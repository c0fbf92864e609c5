"""Evaluate one tuned model, or an untuned one, on distributions."""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.harness.single import EvaluateRequest, evaluate

ROOT = Path(__file__).resolve().parents[1]


def main(request: EvaluateRequest) -> int:
    return evaluate(request, ROOT)


if __name__ == "__main__":
    run(main)
