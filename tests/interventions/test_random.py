import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.scripts import INTERVENTIONS, evaluate, planted_examples, train, write_distribution


def test_every_pair_gets_one_half(tmp_path):
    source = write_distribution(tmp_path / "d", planted_examples(2, 0), planted_examples(5, 1, responses=4))
    tuned = train("random", tmp_path / "no model", source, tmp_path / "tuned")
    [found] = evaluate("random", tuned, [source], tmp_path)
    assert found["eval_probabilities"] == [0.5] * 15
    assert (found["eval_accuracy"], found["eval_ties"]) == (0.5, 15)


def test_neither_torch_nor_a_model_is_needed(tmp_path):
    source = write_distribution(tmp_path / "d", [], planted_examples(2, 0))
    # A torch that cannot be imported stands first on the path.
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    command = [sys.executable, str(INTERVENTIONS / "random" / "eval.py"), "--model_dir", str(tmp_path / "nowhere")]
    command += [
        "--distribution_dirs",
        json.dumps([str(source)]),
        "--output_paths",
        json.dumps([str(tmp_path / "o.json")]),
    ]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(Path(tmp_path / "o.json").read_text())["eval_accuracy"] == 0.5
