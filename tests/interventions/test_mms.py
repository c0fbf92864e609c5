import json

import numpy as np
import pytest

from genies.errors import InputError
from tests.support.scripts import evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import FAMILIES


@pytest.fixture
def source(tmp_path):
    return write_distribution(tmp_path / "d", planted_examples(30, 0), planted_examples(12, 1, responses=3))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_planted_direction_is_found(family, source, tmp_path, tiny_model_dir):
    tuned = train("mms", tiny_model_dir(family), source, tmp_path / "tuned", num_heads=4)
    pairs_only = write_distribution(tmp_path / "pairs", [], planted_examples(40, 2))
    [found, more] = evaluate("mms", tuned, [pairs_only, source], tmp_path)
    assert found["eval_accuracy"] >= 0.95
    assert len(more["eval_probabilities"]) == 24
    record = json.loads((tuned / "directions.json").read_text())
    assert len(record["sites"]) == 4
    assert {path.suffix for path in tuned.iterdir()} == {".json", ".safetensors"}


def test_labels_turned_round_turn_the_probabilities_round(source, tmp_path, tiny_model_dir):
    tuned = train("mms", tiny_model_dir("llama"), source, tmp_path / "tuned")
    examples = planted_examples(6, 2)
    for example in examples:
        example["responses"] = {text: 1.0 - label for text, label in example["responses"].items()}
    straight = write_distribution(tmp_path / "straight", [], planted_examples(6, 2))
    turned = write_distribution(tmp_path / "turned", [], examples)
    one, other = evaluate("mms", tuned, [straight, turned], tmp_path)
    assert np.add(one["eval_probabilities"], other["eval_probabilities"]) == pytest.approx(np.ones(6))


def test_a_cold_store_and_a_warm_one_give_the_same_bytes_and_batches_do_not_matter(source, tmp_path, tiny_model_dir):
    found = []
    for name in ("one", "other"):
        tuned = train("mms", tiny_model_dir("gpt2"), source, tmp_path / name, seed=3)
        evaluate("mms", tuned, [source], tmp_path / f"{name} evaluated")
        found.append(
            [(tuned / "directions.safetensors").read_bytes(), (tmp_path / f"{name} evaluated" / "0.json").read_bytes()]
        )
    assert found[0] == found[1]
    tuned = train("mms", tiny_model_dir("gpt2"), source, tmp_path / "small", seed=3, batch_tokens=7, no_cache=True)
    [small] = evaluate("mms", tuned, [source], tmp_path / "small evaluated", batch_tokens=7, no_cache=True)
    assert small["eval_probabilities"] == pytest.approx(json.loads(found[0][1])["eval_probabilities"], abs=1e-3)


def test_two_examples_suffice_and_one_is_a_message(source, tmp_path, tiny_model_dir):
    tuned = train("mms", tiny_model_dir("llama"), source, tmp_path / "two", max_examples=2)
    [found] = evaluate("mms", tuned, [source], tmp_path, max_examples=1)
    assert len(found["eval_probabilities"]) == 2
    with pytest.raises(InputError, match="1 training pairs are too few"):
        train("mms", tiny_model_dir("llama"), source, tmp_path / "one", max_examples=1)


def test_an_empty_train_split_is_a_message(tmp_path, tiny_model_dir):
    empty = write_distribution(tmp_path / "d", [], planted_examples(2, 0))
    with pytest.raises(InputError, match="no examples"):
        train("mms", tiny_model_dir("llama"), empty, tmp_path / "tuned")
