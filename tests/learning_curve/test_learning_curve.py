"""A learning curve against evaluations of the kept steps, one by one."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genies.evaluation_file import Evaluation
from genies.kept_steps import kept_steps
from genies.learning_curve.picture import write_picture
from genies.learning_curve.points import LearningCurve, Point, point, read_curve
from genies.metrics.intervals import accuracy_interval, wilson_interval
from tests.support.commands import run_command
from tests.support.reward_examples import evaluate, train, write_distribution

OPTIONS: dict[str, Any] = {
    "num_train_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.02,
    "lora_rank": 4,
    "keep_steps": "[1, 3]",
}


@pytest.fixture(scope="module")
def made(tiny_model_dir: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two distributions and the models of two seeds."""
    folder = tmp_path_factory.mktemp("curve")
    source = write_distribution(folder / "data" / "source", examples=8)
    write_distribution(folder / "data" / "target", examples=6, responses=3)
    for seed in (0, 1):
        train("lora_fine_tune", tiny_model_dir(), source, folder / "models" / f"seed{seed}", **OPTIONS, seed=seed)
    return folder


def curve_of(folder: Path, *models: str, **more: object) -> Any:
    values = {
        "model_dirs": json.dumps([str(folder / "models" / each) for each in models]),
        "intervention_dir": "src/interventions/lora_fine_tune",
        "distributions": '["source", "target"]',
        "distributions_dir": folder / "data",
        "output_dir": folder / "curve",
        "eval_kwargs": '{"device": "cpu"}',
        **more,
    }
    items = [item for name, value in values.items() for item in (f"--{name}", value)]
    return run_command("api/learning_curve.py", items, env={**os.environ, "GENIES_CACHE": str(folder / "cache")})


@pytest.mark.process
def test_the_points_are_the_evaluations_of_the_kept_models(made: Path) -> None:
    done = curve_of(made, "seed0", "seed1")
    assert done.returncode == 0, done.stderr
    assert "after step" in done.stdout
    curve = read_curve(made / "curve" / "learning_curve.json")
    assert (curve.models, curve.source, curve.intervention) == (["seed0", "seed1"], None, "lora_fine_tune")
    assert [(each.distribution, each.step, each.pairs) for each in curve.points] == [
        (name, step, 4 * step) for name in ("source", "target") for step in (1, 3, 6)
    ]
    for each in curve.points:
        expected = []
        for seed in ("seed0", "seed1"):
            model = kept_steps(made / "models" / seed).get(each.step, made / "models" / seed)
            (found,) = evaluate("lora_fine_tune", model, [made / "data" / each.distribution], made)
            expected.append(np.mean(np.array(found["eval_probabilities"]) > 0.5))
        assert each.accuracy == pytest.approx(np.mean(expected), abs=1e-12)
        assert (each.models, each.prompts) == (2, 8 if each.distribution == "source" else 6)
        assert each.low is None or each.high is None or each.low <= each.accuracy <= each.high
    assert len({each.accuracy for each in curve.points}) > 1
    with open(made / "curve" / "learning_curve.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [each.accuracy for each in curve.points]
    for kind, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        assert (made / "curve" / f"learning_curve.{kind}").read_bytes().startswith(start)
    files = sorted((made / "curve" / "evaluations").rglob("*.json"))
    assert len(files) == 12
    times = [each.stat().st_mtime_ns for each in files]
    assert curve_of(made, "seed0", "seed1").returncode == 0
    assert [each.stat().st_mtime_ns for each in files] == times


@pytest.mark.process
def test_the_record_of_a_training_names_its_source(
    made: Path, tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    given = {
        "model_dir": tiny_model_dir(),
        "train_distribution": made / "data" / "source",
        "intervention_dir": "src/interventions/lora_fine_tune",
        "models_dir": tmp_path / "models",
        "results_dir": tmp_path / "results",
        "train_kwargs": json.dumps({**OPTIONS, "keep_steps": [2], "device": "cpu"}),
    }
    environment = {**os.environ, "GENIES_CACHE": str(made / "cache")}
    items = [item for name, value in given.items() for item in (f"--{name}", value)]
    trained = run_command("api/train.py", items, env=environment)
    assert trained.returncode == 0, trained.stderr
    (model,) = (each.parent for each in (tmp_path / "models").rglob("step-2"))
    done = curve_of(
        made, model_dirs=json.dumps([str(model)]), output_dir=tmp_path / "curve", distributions='["source"]'
    )
    assert done.returncode == 0, done.stderr
    curve = read_curve(tmp_path / "curve" / "learning_curve.json")
    assert (curve.source, curve.base_model) == ("source", tiny_model_dir().name)
    assert [each.step for each in curve.points] == [2, 6]


@pytest.mark.process
def test_wrong_models_are_refused_with_a_message(made: Path) -> None:
    models = made / "models"
    shutil.copytree(models / "seed0", models / "none", ignore=shutil.ignore_patterns("step-*"))
    shutil.copytree(models / "seed0", models / "fewer", ignore=shutil.ignore_patterns("step-3"))
    shutil.copytree(models / "seed0", models / "no log", ignore=shutil.ignore_patterns("training_log.jsonl"))
    shutil.copytree(models / "seed0", made / "seed0")
    for given, message in (
        (["none"], "expected step-<N> folders in it, found none"),
        (["seed0", "fewer"], "a mean needs the same steps"),
        (["no log"], "does not say after how many steps training ended"),
        (["seed0", "../seed0"], "two folders are called seed0"),
    ):
        done = curve_of(made, *given)
        assert done.returncode == 2, given
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = curve_of(made, "seed0", distributions="[]")
    assert (done.returncode, "--distributions is empty" in done.stderr) == (2, True)


def evaluation(p: list[float], prompts: list[int]) -> Evaluation:
    return Evaluation(
        eval_accuracy=float(np.mean(np.array(p) > 0.5)),
        eval_probabilities=p,
        eval_example_indices=prompts,
        eval_prompt_clusters=prompts,
    )


def test_the_interval_of_one_model_is_that_of_accuracy() -> None:
    p = [0.9, 0.8, 0.3, 0.7, 0.6, 0.2]
    found = point(3, 12, "a", [evaluation(p, list(range(6)))])
    assert (found.low, found.high) == pytest.approx([getattr(wilson_interval(4, 6), end) for end in ("low", "high")])
    shared = [0, 0, 1, 2, 3, 4]
    of_pairs = accuracy_interval(p, shared)
    assert of_pairs is not None
    again = point(3, 12, "a", [evaluation(p, shared)])
    assert (again.low, again.high, again.prompts) == (of_pairs.low, of_pairs.high, 5)


def test_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.7
    alike = [evaluation(list(np.where(right, 0.9, 0.1)), list(range(200))) for _ in range(3)]
    unlike = [
        evaluation(list(np.where(rng.random(200) < share, 0.9, 0.1)), list(range(200))) for share in (0.5, 0.7, 0.9)
    ]
    narrow, wide = point(1, None, "a", alike), point(1, None, "a", unlike)
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    one = point(1, None, "a", alike[:1])
    assert one.low == pytest.approx(narrow.low, abs=0.02)


def test_a_picture_is_the_same_each_time(tmp_path: Path) -> None:
    points = [
        Point(step=step, pairs=16 * step, distribution=f"target <{place}> & $x$", accuracy=0.5 + 0.01 * step, low=0.4,
              high=0.9, prompts=100, models=1)
        for place in range(10)
        for step in (1, 2, 4)
    ]  # fmt: skip
    curve = LearningCurve(intervention="lora", base_model="m", source="target <0> & $x$", models=["a"], points=points)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_picture(curve, tmp_path / name)
    for kind in ("svg", "png"):
        files = [(tmp_path / name / f"learning_curve.{kind}").read_bytes() for name in ("one", "two")]
        assert files[0] == files[1]
