"""Evaluate one tuned model, or an untuned one, on distributions."""

from __future__ import annotations

from pathlib import Path

from genies.harness.single import EvaluateRequest, evaluate


def main(request: EvaluateRequest, root: Path) -> int:
    return evaluate(request, root)
