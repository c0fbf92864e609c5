"""Interventions that read hidden states, stimuli and Yes/No questions: lat_stim_1, lat_stim_2, cra, ccs."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from tests.support.plain import plain_network
from tests.support.scripts import evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import FAMILIES, make_tokenizer

DIRECTIONS = ("lat_stim_1", "lat_stim_2", "cra")
OF_THE_RELEASE = ("mms", *DIRECTIONS, "ccs")
ALL = (*OF_THE_RELEASE, "lat_pca", "logistic_probe")
# A tiny Mistral's window ends before the response where a stimulus or a question stands after it.
READABLE = [(name, family) for name in DIRECTIONS for family in FAMILIES if name == "lat_stim_1" or family != "mistral"]


@pytest.fixture
def source(tmp_path):
    return write_distribution(tmp_path / "d", planted_examples(30, 0), planted_examples(12, 1, responses=3))


@pytest.mark.parametrize(("intervention", "family"), READABLE)
def test_a_planted_direction_is_found(intervention, family, source, tmp_path, tiny_model_dir):
    tuned = train(intervention, tiny_model_dir(family), source, tmp_path / "tuned")
    [found] = evaluate(
        intervention, tuned, [write_distribution(tmp_path / "pairs", [], planted_examples(40, 2))], tmp_path
    )
    assert found["eval_accuracy"] >= 0.85
    record = json.loads((tuned / "directions.json").read_text())
    assert all((site["head"] is None) == (intervention != "cra") for site in record["sites"])
    names = {"base_model.json", "directions.json", "directions.safetensors", "reading.json"}
    assert {path.name for path in tuned.iterdir()} == names


@pytest.mark.parametrize("family", FAMILIES)
def test_contrast_consistent_search_finds_a_planted_truth(family, source, tmp_path, tiny_model_dir, monkeypatch):
    """Among the activations of a model that knows no truth, one direction is made to tell it: Yes after `true` and No
    after `warm` lie on one side, the other two on the other."""
    read = ActivationReader.__call__

    def read_with_truth(reader, sequences, sites, also):
        found = read(reader, sequences, sites, also)
        texts = [reader.outline.tokenizer.decode(list(ids)) for ids in sequences]
        signs = [1 if text.endswith("Yes</s>") == (" is true\n" in text) else -1 for text in texts]
        direction = np.random.default_rng(5).normal(size=found.shape[-1])
        return (found + 2 * found.std(axis=0).mean() * np.multiply.outer(signs, direction)[:, None]).astype(np.float32)

    monkeypatch.setattr(ActivationReader, "__call__", read_with_truth)
    tuned = train("ccs", tiny_model_dir(family), source, tmp_path / "tuned")
    [found] = evaluate("ccs", tuned, [source], tmp_path)
    assert found["eval_accuracy"] >= 0.95
    assert {path.name for path in tuned.iterdir()} == {
        "base_model.json", "ccs.json", "ccs.safetensors", "reading.json", "sanity.json"
    }  # fmt: skip
    compared = json.loads((tuned / "sanity.json").read_text())
    assert compared["probe"] >= compared["random_95"] >= compared["random_mean"] >= 0.5
    assert json.loads((tuned / "ccs.json").read_text())["block"] == 1


@pytest.mark.parametrize(
    ("intervention", "given"),
    [(name, {}) for name in ALL]
    + [(name, {"protocol": "release_2023"}) for name in OF_THE_RELEASE]
    + [("mms", {"whiten": True}), ("logistic_probe", {"contrast": True})]
    + [("mms", {"read_at": "end_of_text"}), ("ccs", {"read_at": "last_response", "normalize": "target"})],
)
def test_order_batches_padding_and_company_do_not_matter(intervention, given, source, tmp_path, tiny_model_dir):
    turned = planted_examples(12, 1, responses=3)
    for example in turned:
        example["responses"] = dict(reversed(example["responses"].items()))
    other = write_distribution(tmp_path / "turned", planted_examples(30, 0), turned)
    tuned = train(intervention, tiny_model_dir("gpt_neox"), source, tmp_path / "tuned", **given)
    found, found_turned = evaluate(intervention, tuned, [source, other], tmp_path / "one")
    first, second = (np.reshape(each["eval_probabilities"], (-1, 2)) for each in (found, found_turned))
    assert first == pytest.approx(second[:, ::-1], abs=1e-6)
    assert np.ptp(first) > 0

    # Another padding side, and batches so small that every text is a row of its own, in training and evaluation.
    padded = shutil.copytree(tiny_model_dir("gpt_neox"), tmp_path / "padded")
    settings = json.loads((padded / "tokenizer_config.json").read_text())
    (padded / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "left", "pad_token": "</s>"}))
    tuned = train(intervention, padded, source, tmp_path / "small", batch_tokens=7, no_cache=True, **given)
    [small] = evaluate(intervention, tuned, [source], tmp_path / "other", batch_tokens=7, no_cache=True)
    assert small["eval_probabilities"] == pytest.approx(found["eval_probabilities"], abs=1e-3)


@pytest.mark.parametrize("protocol", [None, "release_2023"])
@pytest.mark.parametrize("intervention", ALL)
def test_labels_turned_round_turn_the_probabilities_round(intervention, protocol, source, tmp_path, tiny_model_dir):
    tuned = train(intervention, tiny_model_dir("llama", "metaspace"), source, tmp_path / "tuned", protocol=protocol)
    examples = planted_examples(6, 2)
    straight = write_distribution(tmp_path / "straight", [], examples)
    for example in examples:
        example["responses"] = {text: 1.0 - label for text, label in example["responses"].items()}
    turned = write_distribution(tmp_path / "turned", [], examples)
    one, other = evaluate(intervention, tuned, [straight, turned], tmp_path)
    assert np.add(one["eval_probabilities"], other["eval_probabilities"]) == pytest.approx(np.ones(6))


@pytest.mark.parametrize("intervention", ALL)
def test_the_same_seed_gives_the_same_bytes_and_another_another(intervention, source, tmp_path, tiny_model_dir):
    found = []
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        tuned = train(intervention, tiny_model_dir("gpt2"), source, tmp_path / name, seed=seed)
        evaluate(intervention, tuned, [source], tmp_path / f"{name} evaluated")
        tensors = next(tuned.glob("*.safetensors"))
        found.append((tensors.read_bytes(), (tmp_path / f"{name} evaluated" / "0.json").read_bytes()))
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("intervention", ALL)
def test_two_examples_suffice_of_four_responses_and_one_is_a_message(intervention, tmp_path, tiny_model_dir):
    source = write_distribution(tmp_path / "d", planted_examples(3, 0, responses=4), planted_examples(2, 1, 4))
    # A window that hides the responses gives poor figures, but figures.
    model = tiny_model_dir("mistral")
    tuned = train(intervention, model, source, tmp_path / "two", max_examples=2)
    [found] = evaluate(intervention, tuned, [source], tmp_path)
    assert len(found["eval_probabilities"]) == 6
    with pytest.raises(InputError, match="1 training pairs are too few"):
        train(intervention, model, source, tmp_path / "one", max_examples=1)


@pytest.mark.parametrize("intervention", ALL)
def test_a_tuned_model_that_is_not_whole_is_a_message(intervention, source, tmp_path, tiny_model_dir):
    tuned = train(intervention, tiny_model_dir("llama"), source, tmp_path / "tuned", max_examples=2)
    next(tuned.glob("*.safetensors")).unlink()
    with pytest.raises(InputError, match="train again"):
        evaluate(intervention, tuned, [source], tmp_path)


@pytest.mark.parametrize("read_at", ["last_response", "end_of_text"])
@pytest.mark.parametrize("intervention", ["mms", "ccs"])
def test_evaluation_reads_where_training_did_and_says_so(intervention, read_at, source, tmp_path, tiny_model_dir):
    tuned = train(intervention, tiny_model_dir("llama"), source, tmp_path / "tuned", read_at=read_at)
    read: list[Any] = []
    call = ActivationReader.__call__

    def watch(reader, sequences, sites, also):
        read.extend(ids[-1] for ids in sequences)
        return call(reader, sequences, sites, also)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActivationReader, "__call__", watch)
        [found] = evaluate(intervention, tuned, [source], tmp_path)
    assert found["read_at"] == read_at
    assert {token == 2 for token in read} == {read_at == "end_of_text"}


def test_where_texts_are_read_by_default(source, tmp_path, tiny_model_dir):
    places = {}
    for intervention in ALL:
        tuned = train(intervention, tiny_model_dir("llama"), source, tmp_path / intervention, max_examples=3)
        places[intervention] = json.loads((tuned / "reading.json").read_text())["read_at"]
    assert places == dict.fromkeys(ALL, "last_response") | {"ccs": "end_of_text"}


def test_a_target_of_which_no_example_fits_costs_its_own_evaluation(source, tmp_path, tiny_model_dir):
    tuned = train("mms", tiny_model_dir("llama"), source, tmp_path / "tuned", max_examples=3)
    long = write_distribution(tmp_path / "long", [], [{"prompt": "warm " * 400, "responses": {"a": 1.0, "b": 0.0}}])
    with pytest.raises(InputError, match="no example is left"):
        evaluate("mms", tuned, [long, source], tmp_path)
    assert not (tmp_path / "0.json").exists()
    assert len(json.loads((tmp_path / "1.json").read_text())["eval_probabilities"]) == 24


def test_normalizing_by_the_target_takes_its_means_and_marks_the_evaluation(source, tmp_path, tiny_model_dir):
    folder = tiny_model_dir("llama")
    tuned = train("ccs", folder, source, tmp_path / "tuned", normalize="target")
    test = planted_examples(5, 8, responses=3)
    target = write_distribution(tmp_path / "target", [], test)
    [by_target] = evaluate("ccs", tuned, [target], tmp_path / "a")
    [by_source] = evaluate("ccs", tuned, [target], tmp_path / "b", normalize="source")
    assert by_target["uses_target_texts"] is True
    assert "uses_target_texts" not in by_source
    assert by_target["eval_probabilities"] != by_source["eval_probabilities"]

    # By hand: the mean of each answer's copies over the fifteen responses, each once.
    tensors = load_file(tuned / "ccs.safetensors")
    tokenizer = make_tokenizer("byte_level")
    question = "\n\nQuestion: Does the responder follow the instruction?\nAnswer: "
    texts = [(example, text) for example in range(5) for text in test[example]["responses"]]
    copies = np.array(
        [
            [last_block(folder, tokenizer(test[example]["prompt"] + text + question + answer)["input_ids"])
             for example, text in texts]
            for answer in ("Yes", "No")
        ]
    )  # fmt: skip
    centred = (copies - copies.mean(axis=1, keepdims=True)) @ tensors["weights"] + tensors["bias"]
    confidence = (1 / (1 + np.exp(-centred[0])) + 1 - 1 / (1 + np.exp(-centred[1]))) / 2
    of = dict(zip(texts, confidence, strict=True))
    expected = []
    for example in range(5):
        labels = test[example]["responses"]
        b = of[example, next(text for text in labels if labels[text] == 1)]
        expected += [b * (1 - of[example, text]) / (b * (1 - of[example, text]) + of[example, text] * (1 - b))
                     for text in labels if labels[text] == 0]  # fmt: skip
    assert by_target["eval_probabilities"] == pytest.approx(expected, abs=1e-3)


@torch.inference_mode()
def last_block(folder, ids):
    """The hidden state after the last block, before the norm, at the end-of-text token after `ids`."""
    network = plain_network(folder)
    found = []
    hook = network.model.layers[-1].register_forward_hook(lambda _module, _inputs, output: found.append(output))
    network(torch.tensor([[*ids, 2]]))
    hook.remove()
    output = found[0][0] if isinstance(found[0], tuple) else found[0]
    return output.reshape(-1, output.shape[-1])[-1].numpy()


@pytest.mark.parametrize(
    ("intervention", "given"), [("lat_pca", {}), ("logistic_probe", {}), ("mms", {"whiten": True})]
)
def test_later_probes_find_a_planted_direction(intervention, given, source, tmp_path, tiny_model_dir):
    tuned = train(intervention, tiny_model_dir("gpt_neox"), source, tmp_path / "tuned", **given)
    data = write_distribution(tmp_path / "pairs", [], planted_examples(40, 2))
    [found] = evaluate(intervention, tuned, [data], tmp_path)
    assert found["eval_accuracy"] >= 0.85


def test_a_probe_after_lat_stim_1_reads_everything_from_the_store(source, tmp_path, tiny_model_dir, monkeypatch):
    """Both read the state after every block at the last token of the response."""
    model = tiny_model_dir("gpt_neox")
    tuned = train("lat_stim_1", model, source, tmp_path / "lat", num_layers=99)
    evaluate("lat_stim_1", tuned, [source], tmp_path / "lat_out")

    def no_model(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("genies.lm.model.load_model", no_model)
    tuned = train("logistic_probe", model, source, tmp_path / "probe")
    [found] = evaluate("logistic_probe", tuned, [source], tmp_path / "probe_out")
    assert 0 <= found["eval_accuracy"] <= 1
