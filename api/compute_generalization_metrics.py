"""Measure how an intervention generalizes across distribution shifts: the main job of GENIES."""

from pathlib import Path

from genies.command_line import run
from genies.harness.job import compute_generalization_metrics
from genies.harness.request import MetricsRequest

ROOT = Path(__file__).resolve().parents[1]


def main(request: MetricsRequest) -> int:
    return compute_generalization_metrics(request, ROOT)


if __name__ == "__main__":
    run(main)
