"""--sample seeded: training on drawn examples is training on a distribution of just these."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from genies.data.distribution import Distribution
from tests.support.present import present
from tests.support.scripts import planted_examples, train, write_distribution

PROJECT = Path(__file__).parents[2]
SIZES = {"num_train_steps": 2, "per_device_train_batch_size": 4, "save_steps": 0}
REWARD = ("lora_fine_tune", "prompt_tuning", "full_fine_tune", "log_prob_classify")


@pytest.fixture
def source(tmp_path):
    return write_distribution(tmp_path / "d", planted_examples(30, 0, responses=3), planted_examples(2, 1))


@pytest.mark.parametrize("name", ["mms", "lat_stim_1", "lat_stim_2", "cra", "ccs", "few_shot", *REWARD])
def test_drawn_examples_are_what_a_method_is_tuned_on(name, source, tmp_path, tiny_model_dir):
    sizes = SIZES if name in REWARD else {"resample": True} if name == "few_shot" else {}
    everything = json.loads((source / "train.json").read_text())
    chosen = [example.index for example in Distribution(source).training_sample(6, "seeded", 3)]
    alone = write_distribution(tmp_path / "alone" / "d", [everything[index] for index in chosen], [])
    tuned = {}
    for label, folder, kwargs in (
        ("drawn", source, {"max_examples": 6, "sample": "seeded", "seed": 3}),
        ("alone", alone, {"seed": 3}),
        ("first", source, {"max_examples": 6, "seed": 3}),
    ):
        output = train(name, tiny_model_dir("llama"), folder, tmp_path / label, **sizes, **kwargs)
        [path] = [*output.glob("*.safetensors"), *output.glob("demonstrations.json")]
        tuned[label] = path.read_bytes()
    assert tuned["drawn"] == tuned["alone"] != tuned["first"]


def test_the_template_draws_as_the_library_does(source, monkeypatch):
    spec = importlib.util.spec_from_file_location("template_train", PROJECT / "examples/new_intervention/train.py")
    template = importlib.util.module_from_spec(present(spec))
    present(present(spec).loader).exec_module(template)
    everything = json.loads((source / "train.json").read_text())
    for given in (["--max_examples", "7", "--sample", "seeded", "--seed", "5"], ["--max_examples", "7"], []):
        monkeypatch.setattr(
            sys, "argv", ["train.py", "--model_dir=m", "--train_distribution=d", "--output_dir=o", *given]
        )
        args = template.arguments()
        expected = Distribution(source).training_sample(args.max_examples, args.sample, args.seed)
        assert template.draw(everything, args) == [everything[example.index] for example in expected]
