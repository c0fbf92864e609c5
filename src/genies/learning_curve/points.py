"""The points of a learning curve, and the files with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.files import read_json, write_text
from genies.metrics.intervals import Interval, interval_of_scores
from genies.metrics.shift_means import ShiftFigure, estimate_mean
from genies.report.pair_values import PairValues, pair_values
from genies.spreadsheets import to_csv

LOG = "training_log.jsonl"
"""In a tuned model's folder: one JSON object for each step, with `step` and `pairs`."""


class Point(BaseModel):
    """The accuracy on one distribution after one step."""

    model_config = ConfigDict(frozen=True)

    step: int
    """Number of optimizer steps."""
    pairs: int | None
    """Number of pairs used in these steps, repeated ones included; None if the training did not record it."""
    distribution: str
    accuracy: float
    """The mean over models of the share of pairs with the right preference, from 0 to 1; a tie counts half."""
    low: float | None
    """Start of the interval (95 %); None if there are too few prompts, or no probabilities of pairs."""
    high: float | None
    prompts: int | None
    """Number of prompts of the test split; None if it is not known."""
    models: int
    """Number of models in the mean."""


class LearningCurve(BaseModel):
    """A learning curve of one intervention."""

    schema_version: int = 1
    intervention: str
    base_model: str
    source: str | None
    """The distribution tuned on; None if the models have no training record."""
    models: list[str]
    """Names of the tuned models' folders."""
    points: list[Point]
    """By distribution, in the order given, and by step."""


def point(step: int, pairs: int | None, distribution: str, evaluations: Sequence[Evaluation]) -> Point:
    """The point of some models on one distribution.

    With one model the interval is about other prompts (accuracy_interval); with several, it is about other prompts and
    seeds (estimate_mean).
    """
    accuracy = float(np.mean([each.eval_accuracy for each in evaluations]))
    values = [pair_values(each) for each in evaluations]
    known = [each for each in values if each is not None]
    interval, prompts = _interval(known) if len(known) == len(values) else (None, None)
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Point(step=step, pairs=pairs, distribution=distribution, accuracy=accuracy, low=low, high=high,
                 prompts=prompts, models=len(evaluations))  # fmt: skip


def _interval(values: Sequence[PairValues]) -> tuple[Interval | None, int | None]:
    prompts = {each.clusters.size for each in values}
    if len(prompts) > 1:
        return None, None  # some models left out examples that others did not
    (number,) = prompts
    if len(values) == 1:
        return interval_of_scores(values[0].sums("accuracy")), number
    estimates = np.array([each.sums("accuracy").mean for each in values])
    drawn = np.stack([each.drawn("accuracy") for each in values])
    figure = ShiftFigure(estimates, drawn, clusters=number, bounds=(0.0, 1.0))
    return estimate_mean([figure]).interval, number


def pairs_by_step(model_dir: Path) -> dict[int, int]:
    """The number of pairs used up to each step, from the log of the training; empty without one."""
    try:
        lines = (model_dir / LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    try:
        entries = [json.loads(line) for line in lines]
        return {int(entry["step"]): int(entry["pairs"]) for entry in entries if "pairs" in entry}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{model_dir / LOG}: expected one JSON object in each line, with step and pairs") from None


def write_points(curve: LearningCurve, folder: Path) -> None:
    """Write learning_curve.json and learning_curve.csv."""
    write_text(folder / "learning_curve.json", curve.model_dump_json(indent=1) + "\n")
    rows = [each.model_dump() for each in curve.points]
    write_text(folder / "learning_curve.csv", to_csv(list(Point.model_fields), rows))


def read_curve(path: Path) -> LearningCurve:
    """The curve in a learning_curve.json. Raises InputError if the file has another form."""
    return LearningCurve.model_validate(read_json(path, "learning curve"))
