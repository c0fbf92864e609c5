import json
import subprocess
import sys

import numpy as np
import pytest
from transformers import AutoTokenizer

from genies.contract import evaluation_items
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.text import encode
from tests.support.plain import plain_log_probability
from tests.support.scripts import INTERVENTIONS, evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import FAMILIES


@pytest.fixture
def distribution(tmp_path):
    return write_distribution(tmp_path / "d", planted_examples(6, 0), planted_examples(4, 1, responses=4))


def expected_probabilities(folder, distribution, tuned, normalization):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shown = json.loads((tuned / "demonstrations.json").read_text())["pool"]
    before = "".join(each["prompt"] + each["response"] + "\n\n" for each in shown)
    result = []
    for pair in pairs(Distribution(distribution).test):
        texts = [(before + pair.prompt_text, pair.best), (before + pair.prompt_text, pair.worse)]
        scores = []
        for sequence in encode(tokenizer, texts):
            total = plain_log_probability(folder, sequence.ids, sequence.response)
            scores.append(total / len(sequence.response) if normalization == "mean" else total)
        result.append(1 / (1 + np.exp(scores[1] - scores[0])))
    return result


@pytest.mark.parametrize(
    ("family", "style", "normalization"),
    [(family, "byte_level", "mean") for family in FAMILIES] + [("llama", "metaspace", "sum")],
)
def test_p_is_the_softmax_of_plain_log_probabilities_after_the_demonstrations(
    family, style, normalization, distribution, tmp_path, tiny_model_dir
):
    folder = tiny_model_dir(family, style)
    tuned = train("few_shot", folder, distribution, tmp_path / "tuned", num_shots=2)
    [found] = evaluate("few_shot", tuned, [distribution], tmp_path, normalization=normalization)
    expected = expected_probabilities(folder, distribution, tuned, normalization)
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    assert found["eval_example_indices"] == [index for index in range(4) for _ in range(3)]
    assert (found["eval_demonstrations"], found["eval_dropped_demonstrations"]) == (2, 0)


@pytest.mark.parametrize("resample", [False, True])
def test_p_does_not_change_with_the_order_of_responses_the_batch_size_or_the_padding_side(
    resample, distribution, tmp_path, tiny_model_dir
):
    turned = planted_examples(4, 1, responses=4)
    for example in turned:
        example["responses"] = dict(reversed(example["responses"].items()))
    other = write_distribution(tmp_path / "turned", [], turned)
    tuned = train("few_shot", tiny_model_dir("gpt_neox"), distribution, tmp_path / "tuned", resample=resample)
    found = evaluate("few_shot", tuned, [distribution, other], tmp_path / "one")
    first, second = (np.reshape(each["eval_probabilities"], (-1, 3)) for each in found)
    assert first == pytest.approx(second[:, ::-1], abs=1e-6)

    padded = tmp_path / "left"
    padded.mkdir()
    for file in tiny_model_dir("gpt_neox").iterdir():
        (padded / file.name).write_bytes(file.read_bytes())
    config = json.loads((padded / "tokenizer_config.json").read_text())
    (padded / "tokenizer_config.json").write_text(json.dumps(config | {"padding_side": "left", "pad_token": "</s>"}))
    (tuned / "base_model.json").write_text(json.dumps({"base_model_dir": str(padded)}))
    small = evaluate("few_shot", tuned, [other, distribution], tmp_path / "other", batch_tokens=5)
    for each, expected in zip(reversed(small), found, strict=True):
        assert each["eval_probabilities"] == pytest.approx(expected["eval_probabilities"], abs=1e-5)


def test_the_same_draw_twice_gives_the_same_bytes(distribution, tmp_path, tiny_model_dir):
    written = []
    for name in ("one", "other"):
        tuned = train("few_shot", tiny_model_dir("llama"), distribution, tmp_path / f"{name}-tuned", resample=True)
        evaluate("few_shot", tuned, [distribution], tmp_path / name, seed=3)
        written.append((tmp_path / name / "0.json").read_bytes())
    evaluate("few_shot", tuned, [distribution], tmp_path / "seeded", seed=4)
    assert written[0] == written[1] != (tmp_path / "seeded" / "0.json").read_bytes()


def test_what_does_not_fit_is_dropped_with_a_count(tmp_path, tiny_model_dir, capsys):
    examples = [
        *planted_examples(2, 0),
        {"prompt": "warm " * 200, "responses": {"a": 1.0, "b": 0.0}},
        {"prompt": "warm " * 300, "responses": {"a": 1.0, "b": 0.0}},
    ]
    source = write_distribution(tmp_path / "d", planted_examples(6, 0), examples)
    tuned = train("few_shot", tiny_model_dir("llama"), source, tmp_path / "tuned")
    [found] = evaluate("few_shot", tuned, [source], tmp_path)
    assert found["eval_example_indices"] == [0, 1, 2]
    assert found["eval_left_out_examples"] == found["eval_examples_with_dropped_demonstrations"] == 1
    assert 1 <= found["eval_dropped_demonstrations"] <= 4
    assert "example 3 is left out" in capsys.readouterr().err


def test_an_untuned_model_is_refused_with_what_to_do(distribution, tmp_path, tiny_model_dir):
    with pytest.raises(InputError, match=r"untuned model\); few_shot needs demonstrations .* train\.py"):
        evaluate("few_shot", tiny_model_dir("llama"), [distribution], tmp_path)
    with pytest.raises(InputError, match=r"no demonstrations\.json; .* train\.py"):
        evaluate("few_shot", tmp_path, [distribution], tmp_path)


def test_bad_arguments_end_with_one_message_and_status_2(distribution, tmp_path, tiny_model_dir):
    items = evaluation_items(str(tiny_model_dir("llama")), [str(distribution)], [str(tmp_path / "o")], {})
    command = [sys.executable, str(INTERVENTIONS / "few_shot" / "eval.py"), *items]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_target_of_which_no_example_fits_costs_its_own_evaluation(distribution, tmp_path, tiny_model_dir):
    model = train("few_shot", tiny_model_dir("llama"), distribution, tmp_path / "tuned")
    long = write_distribution(tmp_path / "long", [], [{"prompt": "warm " * 400, "responses": {"a": 1.0, "b": 0.0}}])
    with pytest.raises(InputError, match="no example is left"):
        evaluate("few_shot", model, [long, distribution], tmp_path)
    assert not (tmp_path / "0.json").exists()
    assert len(json.loads((tmp_path / "1.json").read_text())["eval_probabilities"]) == 12
