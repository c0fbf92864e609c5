"""Models in 4 bits, and spread over devices. Without a GPU: the messages, the options, and dispatch on the CPU."""

import importlib.util
import re

import numpy as np
import pytest
import torch
from accelerate import dispatch_model

from genies.errors import InputError
from genies.lm import placement, scoring, shared_prefix
from genies.lm.activations import find_blocks, last_token_activations
from genies.lm.arguments import ModelArguments
from genies.lm.capability import Capability, check_network
from genies.lm.model import describe, load_model
from genies.lm.placement import check_placement, check_quantization, input_device, loading_options, nf4_config
from genies.lm.sites import Site
from genies.lm.text import encode
from tests.lm.test_scoring import TEXTS
from tests.support.tiny_models import FAMILIES

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_four_bits_without_a_gpu_are_a_message(device, tiny_model_dir, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--quantization nf4 needs a CUDA GPU"):
        load_model(tiny_model_dir("llama"), ModelArguments(device=device, quantization="nf4"))


def test_four_bits_without_bitsandbytes_name_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"needs the package bitsandbytes: pip install -e '\.\[gpu\]'"):
        check_quantization(GPU)


def test_four_bits_on_a_gpu_are_nf4_on_one_gpu(monkeypatch):
    monkeypatch.setattr(placement, "check_quantization", lambda _device: None)
    monkeypatch.setattr(placement, "nf4_config", lambda dtype: dtype)  # the real one asks for bitsandbytes
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    nf4 = ModelArguments(quantization="nf4")
    assert loading_options(nf4, GPU, torch.bfloat16) == {"quantization_config": torch.bfloat16, "device_map": {"": 3}}
    spread = nf4.model_copy(update={"device_map": "auto"})
    assert loading_options(spread, GPU, torch.bfloat16)["device_map"] == "auto"


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_the_configuration_is_double_quantized_nf4():
    config = nf4_config(torch.bfloat16)
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", True)
    assert config.bnb_4bit_compute_dtype == torch.bfloat16


def test_an_evaluation_says_how_weights_are_held():
    assert describe(torch.bfloat16, GPU, "nf4") == {"dtype": "bfloat16", "device": "cuda", "quantization": "nf4"}
    assert describe(torch.float32, CPU) == {"dtype": "float32", "device": "cpu"}


def test_nothing_to_spread_over_is_said_and_the_model_loads_on_the_cpu(tiny_model_dir, capsys):
    model = load_model(tiny_model_dir("llama"), ModelArguments(device="cpu", device_map="auto"))
    assert model.device == CPU
    assert re.search("--device_map auto.*CPU", capsys.readouterr().err)


def test_one_device_needs_no_options():
    assert loading_options(ModelArguments(), CPU, torch.float32) == {}
    assert loading_options(ModelArguments(), GPU, torch.float32) == {}
    assert loading_options(ModelArguments(device_map="auto"), GPU, torch.float32) == {"device_map": "auto"}


def test_a_part_left_in_main_memory_is_refused(tiny_model, tmp_path):
    network = tiny_model("llama").network
    network.hf_device_map = {"model.embed_tokens": 0, "model.layers.0": 1, "model.layers.1": "cpu"}
    try:
        with pytest.raises(InputError, match="do not fit into the memory of the GPUs"):
            check_placement(network, tmp_path)
        network.hf_device_map = {"model": 0, "lm_head": 1}
        check_placement(network, tmp_path)
    finally:
        del network.hf_device_map


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_dispatched_by_hooks_gives_the_same_scores_and_activations(family, tiny_model, tiny_model_dir):
    expected = tiny_model(family)
    model = load_model(tiny_model_dir(family), ModelArguments(device="cpu"), of_transformers=True)
    model.network.set_attn_implementation("sdpa")
    dispatch_model(model.network, {name: "cpu" for name, _ in model.network.named_children()}, force_hooks=True)
    assert all(hasattr(module, "_hf_hook") for module in find_blocks(model))
    assert input_device(model.network) == CPU
    assert check_network(model.network, "tiny") == Capability(packs=True, pads=True, plain_head=True, causal=True)
    sequences = encode(model.tokenizer, TEXTS)
    ids = [sequence.ids for sequence in sequences]
    for score in (scoring.response_log_probabilities, shared_prefix.response_log_probabilities):
        assert np.array_equal(score(model, sequences)[0], score(expected, sequences)[0])
    for sites in ([Site(0), Site(1)], [Site(0, 1), Site(1, 3)]):
        found = last_token_activations(model, ids, sites)
        assert np.array_equal(found, last_token_activations(expected, ids, sites))
