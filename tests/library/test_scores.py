"""score_pairs and read_activations against plain forward passes of the same transformers model in memory."""

import doctest
import importlib

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.special import expit
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import genies
from genies import InputError, Pair, Site

PAIRS = [
    Pair(0, "The capital of France is", " Paris", " a large and pleasant town"),
    Pair(0, "The capital of France is", " Paris", ""),
    Pair(1, "größere Äpfel:", " ja\n", " nein"),
]


@pytest.fixture(params=["llama", "gpt_neox"])
def folder(request, tiny_model_dir):
    return tiny_model_dir(request.param)


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def network(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def ids_of(tokenizer, text):
    return [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]


@torch.inference_mode()
def plain_sum(network, tokenizer, prompt, response):
    """The log-probability of the ids after those of the prompt, which these texts share with the whole."""
    before, ids = tokenizer(prompt)["input_ids"], ids_of(tokenizer, prompt + response)
    assert ids[: len(before)] == before
    logits = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return float(sum(logits[place - 1, ids[place]] for place in range(len(before), len(ids)))), len(ids) - len(before)


@pytest.mark.parametrize("normalization", ["mean", "sum"])
def test_log_probabilities_are_those_of_plain_forward_passes(network, tokenizer, normalization):
    found = genies.score_pairs(network, PAIRS, tokenizer=tokenizer, normalization=normalization)
    for which in ("best", "worse"):
        sums = [plain_sum(network, tokenizer, pair.prompt, getattr(pair, which)) for pair in PAIRS]
        expected = [total / count if normalization == "mean" else total for total, count in sums]
        np.testing.assert_allclose(getattr(found, which), expected, atol=1e-4)
    np.testing.assert_allclose(found.probabilities, expit(found.best - found.worse), atol=1e-12)


def test_a_model_of_a_folder_and_one_in_memory_score_alike(network, tokenizer, folder):
    loaded = genies.load_model(folder, device="cpu", dtype="float32")
    np.testing.assert_allclose(
        genies.score_pairs(loaded, PAIRS).best, genies.score_pairs(network, PAIRS, tokenizer=tokenizer).best, atol=1e-5
    )


@torch.inference_mode()
def plain_reward(network, tokenizer, pair, which):
    ids = ids_of(tokenizer, pair.prompt + getattr(pair, which))
    return float(network(torch.tensor([ids])).logits[0, 0])


def reward_network(folder, dtype=torch.float32):
    torch.manual_seed(1)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=dtype).eval()
    torch.nn.init.normal_(network.score.weight, std=0.3)
    network.config.get_text_config().pad_token_id = 3  # none of the texts ends in it
    return network


def test_rewards_are_those_of_plain_forward_passes(folder, tokenizer):
    network = reward_network(folder)
    found = genies.score_pairs(network, PAIRS, tokenizer=tokenizer, method="reward")
    for which in ("best", "worse"):
        expected = [plain_reward(network, tokenizer, pair, which) for pair in PAIRS]
        np.testing.assert_allclose(getattr(found, which), expected, atol=1e-4)


def test_activations_are_those_of_plain_forward_passes(network, tokenizer):
    for read_at in ("last_response", "end_of_text"):
        found = genies.read_activations(network, PAIRS, [Site(0)], read_at, tokenizer=tokenizer)
        for which in ("best", "worse"):
            for values, pair in zip(getattr(found, which), PAIRS, strict=True):
                ids = ids_of(tokenizer, pair.prompt + getattr(pair, which))
                ids = ids[:-1] if read_at == "last_response" else ids
                with torch.inference_mode():
                    states = network(torch.tensor([ids]), output_hidden_states=True).hidden_states
                np.testing.assert_allclose(values[0], states[1][0, -1].numpy(), atol=1e-4)
    assert found.differences.shape == (3, 1, 32)


def test_sites_by_kind_are_all_of_the_model(network, tokenizer):
    found = genies.read_activations(network, PAIRS, "heads", tokenizer=tokenizer)
    assert found.sites == [Site(block, head) for block in range(2) for head in range(4)]
    one = genies.read_activations(network, PAIRS, [Site(1, 2)], tokenizer=tokenizer)
    np.testing.assert_array_equal(one.best[:, 0], found.best[:, found.sites.index(Site(1, 2))])


def test_a_borrowed_model_is_afterwards_as_it_was(network, folder, tokenizer):
    network.train()
    network.get_decoder().eval()  # a mixture of modes, as where parts are frozen
    network.config.return_dict = False
    classifier = reward_network(folder, torch.bfloat16).train()

    def state(model):
        modes = [module.training for module in model.modules()]
        kinds = [parameter.dtype for parameter in model.parameters()]
        gradients = [parameter.requires_grad for parameter in model.parameters()]
        hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
        return modes, kinds, gradients, hooks, model.config._attn_implementation, model.config.return_dict

    before = state(network), state(classifier)
    genies.score_pairs(network, PAIRS, tokenizer=tokenizer)
    genies.read_activations(network, PAIRS, tokenizer=tokenizer)
    genies.score_pairs(classifier, PAIRS, tokenizer=tokenizer, method="reward")
    with pytest.raises(InputError):
        genies.score_pairs(network, [], tokenizer=tokenizer)
    assert (state(network), state(classifier)) == before


def test_an_adapter_counts(network, tokenizer):
    plain = genies.score_pairs(network, PAIRS, tokenizer=tokenizer)
    tuned = get_peft_model(network, LoraConfig(target_modules="all-linear", init_lora_weights=False)).eval()
    found = genies.score_pairs(tuned, PAIRS, tokenizer=tokenizer, normalization="sum")
    expected = [plain_sum(tuned, tokenizer, pair.prompt, pair.best)[0] for pair in PAIRS]
    np.testing.assert_allclose(found.best, expected, atol=1e-4)
    assert np.abs(found.best - plain.best).max() > 0.01


def test_nothing_is_printed_but_a_bar_that_is_asked_for(network, tokenizer, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    genies.score_pairs(network, PAIRS, tokenizer=tokenizer)
    genies.read_activations(network, PAIRS, tokenizer=tokenizer)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    genies.score_pairs(network, PAIRS, tokenizer=tokenizer, progress=True)
    assert "scoring" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt_format": "chat"}, "prompt_format chat: the tokenizer in .* has no chat template"),
        ({"prompt_format": "html"}, "prompt_format: expected 'raw'"),
        ({"system_prompt": "Be brief."}, "system_prompt: has no effect in raw format"),
        ({"method": "loss"}, "method: expected 'log_probability' or 'reward'"),
        ({"normalization": "max"}, "normalization: expected 'mean' or 'sum'"),
        ({"reward_output": "0"}, "reward_output"),
        ({"tokenizer": None}, "tokenizer: expected the model's fast tokenizer"),
        ({"method": "reward"}, "no linear head"),
    ],
)
def test_bad_arguments_of_score_pairs_are_named(network, tokenizer, arguments, said):
    with pytest.raises(InputError, match=said):
        genies.score_pairs(network, PAIRS, **{"tokenizer": tokenizer, **arguments})


@pytest.mark.parametrize(
    ("sites", "read_at", "said"),
    [
        ("layers", "last_response", "sites: expected 'heads' or 'blocks'"),
        ([], "last_response", "sites: expected at least one"),
        ([Site(0), Site(1, 0)], "last_response", "different widths"),
        ([Site(2)], "last_response", "is not in the model"),
        ([Site(0, 4)], "last_response", "is not in the model"),
        ("blocks", "first", "read_at: expected 'last_response' or 'end_of_text'"),
    ],
)
def test_bad_arguments_of_read_activations_are_named(network, tokenizer, sites, read_at, said):
    with pytest.raises(InputError, match=said):
        genies.read_activations(network, PAIRS, sites, read_at, tokenizer=tokenizer)


def test_texts_that_cannot_be_used_are_listed(network, tokenizer):
    long = Pair(2, "x " * 5000, "y", "z")
    with pytest.raises(InputError, match=r"pairs: 0, 3 \(from 0\).*leave these pairs out"):
        genies.score_pairs(network, [long, *PAIRS[:2], long, PAIRS[2]][:4], tokenizer=tokenizer)
    with pytest.raises(InputError, match=r"expected genies\.Pair"):
        genies.score_pairs(network, [("a", "b", "c")], tokenizer=tokenizer)  # type: ignore[list-item]


def test_what_is_no_model_is_refused(tokenizer):
    with pytest.raises(InputError, match="model: expected"):
        genies.score_pairs("models/a", PAIRS, tokenizer=tokenizer)


def test_messages_name_arguments_and_not_flags(tmp_path, folder):
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"^device cuda: .*use device cpu or auto$"):
            genies.load_model(folder, device="cuda")
    with pytest.raises(InputError, match=r"^unknown argument slotz; did you mean slots"):
        genies.run_study(folder, "mms", tmp_path / "shifts.json", slotz=3)
    with pytest.raises(InputError, match=r"^base_model_dir is required, or study FILE"):
        genies.run_study()


@pytest.mark.parametrize("name", ["scores", "activations"])
def test_the_examples_in_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(f"genies.library.{name}"), extraglobs={"genies": genies})
    assert found.attempted > 0
    assert found.failed == 0
