import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.text import encode
from tests.support.plain import plain_log_probability
from tests.support.scripts import INTERVENTIONS, evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import make_tokenizer


@pytest.fixture
def distribution(tmp_path):
    return write_distribution(tmp_path / "d", planted_examples(3, 0), planted_examples(8, 1, responses=3))


@pytest.mark.parametrize("normalization", ["mean", "sum"])
def test_p_is_the_softmax_of_plain_log_probabilities(normalization, distribution, tmp_path, tiny_model_dir):
    folder = tiny_model_dir("gpt2")
    tuned = train("zero_shot", folder, distribution, tmp_path / "tuned")
    [found] = evaluate("zero_shot", tuned, [distribution], tmp_path, normalization=normalization)
    expected = []
    for pair in pairs(Distribution(distribution).test):
        scores = []
        for sequence in encode(make_tokenizer("byte_level"), [(pair.prompt, pair.best), (pair.prompt, pair.worse)]):
            total = plain_log_probability(folder, sequence.ids, sequence.response)
            scores.append(total / len(sequence.response) if normalization == "mean" else total)
        expected.append(1 / (1 + np.exp(scores[1] - scores[0])))
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    assert found["eval_example_indices"] == [index for index in range(8) for _ in range(2)]
    assert (found["dtype"], found["device"]) == ("float32", "cpu")


def test_an_untuned_model_is_evaluated_as_it_is(distribution, tmp_path, tiny_model_dir):
    tuned = train("zero_shot", tiny_model_dir("llama"), distribution, tmp_path / "tuned")
    one = evaluate("zero_shot", tuned, [distribution], tmp_path / "one")
    other = evaluate("zero_shot", tiny_model_dir("llama"), [distribution], tmp_path / "other")
    assert one == other
    assert (tmp_path / "one" / "0.json").read_bytes() == (tmp_path / "other" / "0.json").read_bytes()


def test_p_does_not_change_with_the_order_of_responses_the_batch_size_or_the_padding_side(
    distribution, tmp_path, tiny_model_dir
):
    turned = planted_examples(8, 1, responses=3)
    for example in turned:
        example["responses"] = dict(reversed(example["responses"].items()))
    other = write_distribution(tmp_path / "turned", [], turned)
    model = tiny_model_dir("gpt_neox")
    found = evaluate("zero_shot", model, [distribution, other], tmp_path / "one")
    padded = shutil.copytree(model, tmp_path / "padded")
    settings = json.loads((padded / "tokenizer_config.json").read_text())
    (padded / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "left", "pad_token": "</s>"}))
    small = evaluate("zero_shot", padded, [other, distribution], tmp_path / "other", batch_tokens=5)
    first, second = (np.reshape(each["eval_probabilities"], (-1, 2)) for each in found)
    assert first == pytest.approx(second[:, ::-1], abs=1e-6)
    for each, expected in zip(reversed(small), found, strict=True):
        assert each["eval_probabilities"] == pytest.approx(expected["eval_probabilities"], abs=1e-5)


def test_the_same_distribution_twice_and_one_that_shares_responses(distribution, tmp_path, tiny_model_dir):
    sharing = write_distribution(tmp_path / "sharing", [], planted_examples(8, 1, responses=3)[:4])
    one, same, part = evaluate("zero_shot", tiny_model_dir("llama"), [distribution, distribution, sharing], tmp_path)
    assert one == same
    assert part["eval_probabilities"] == one["eval_probabilities"][:8]


def test_too_long_an_example_is_left_out_with_a_count(tmp_path, tiny_model_dir, capsys):
    examples = [*planted_examples(3, 0), {"prompt": "warm " * 300, "responses": {"a": 1.0, "b": 0.0}}]
    [found] = evaluate(
        "zero_shot", tiny_model_dir("llama"), [write_distribution(tmp_path / "d", [], examples)], tmp_path
    )
    assert found["eval_left_out_examples"] == 1
    assert found["eval_left_out_indices"] == [3]
    assert found["eval_example_indices"] == [0, 1, 2]
    assert "example 3 is left out" in capsys.readouterr().err


def test_empty_responses_are_scored(tmp_path, tiny_model_dir):
    examples = [{"prompt": "the best", "responses": {"": 1.0, " answer": 0.0}}]
    [found] = evaluate(
        "zero_shot", tiny_model_dir("llama"), [write_distribution(tmp_path / "d", [], examples)], tmp_path
    )
    assert 0 < found["eval_probabilities"][0] < 1


def test_only_the_first_examples_when_asked(distribution, tmp_path, tiny_model_dir):
    [found] = evaluate("zero_shot", tiny_model_dir("llama"), [distribution], tmp_path, max_examples=2)
    assert found["eval_example_indices"] == [0, 0, 1, 1]


def test_bad_arguments_end_with_one_message_and_status_2(distribution, tmp_path, tiny_model_dir):
    command = [
        sys.executable,
        str(INTERVENTIONS / "zero_shot" / "eval.py"),
        "--model_dir",
        str(tiny_model_dir("llama")),
    ]
    command += [
        "--distribution_dirs",
        json.dumps([str(distribution)]),
        "--output_paths",
        json.dumps([str(tmp_path / "o")]),
    ]
    done = subprocess.run([*command, "--normalisation", "sum"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean --normalization?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_there_is_a_message(distribution, tmp_path):
    with pytest.raises(InputError, match="neither"):
        evaluate("zero_shot", tmp_path, [distribution], tmp_path)


def test_a_target_of_which_no_example_fits_costs_its_own_evaluation(distribution, tmp_path, tiny_model_dir):
    model = tiny_model_dir("llama")
    long = write_distribution(tmp_path / "long", [], [{"prompt": "warm " * 400, "responses": {"a": 1.0, "b": 0.0}}])
    with pytest.raises(InputError, match="no example is left"):
        evaluate("zero_shot", model, [long, distribution], tmp_path)
    assert not (tmp_path / "0.json").exists()
    assert len(json.loads((tmp_path / "1.json").read_text())["eval_probabilities"]) == 16
