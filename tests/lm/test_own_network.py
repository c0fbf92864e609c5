"""Networks without transformers against those of transformers, in every bit, and what is left to transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from genies.errors import InputError
from genies.lm import scoring, shared_prefix
from genies.lm.activations import count_heads, last_token_activations
from genies.lm.arguments import ModelArguments
from genies.lm.model import load_model, load_tokenizer
from genies.lm.model_outline import read_outline
from genies.lm.own_config import own_config
from genies.lm.own_network import OwnNetwork, load_own
from genies.lm.sites import Site
from genies.lm.text import encode
from tests.support.tiny_models import CONTEXT_LENGTH, make_tokenizer

BEGINNING = "### Instruction: Which city is the capital of France? ### Response: Paris.\n\n"
TEXTS = [
    (BEGINNING + prompt, response)
    for prompt in ("### Instruction: Add 12 and 30. ### Response:", "### Instruction: warm?", "")
    for response in (" Paris is the capital.", " Paris is not.", "", " 42")
]
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": CONTEXT_LENGTH, "initializer_range": 0.3,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "rms_norm_eps": 0.1},
    "llama-wide": {"model_type": "llama", "head_dim": 12, "num_key_value_heads": 4, "rope_parameters": {
        "rope_type": "default", "rope_theta": 50.0}},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
}  # fmt: skip


def write(folder: Path, **settings: Any) -> Path:
    tokenizer = make_tokenizer("byte_level")
    given = {**SIZES, "vocab_size": len(tokenizer), **settings}
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(given.pop("model_type"), **given))
    for name, parameter in network.named_parameters():
        if "norm" in name or "bias" in name:  # transformers starts with ones and zeros
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def change(folder: Path, without: tuple[str, ...] = (), **fields: Any) -> Path:
    path = folder / "config.json"
    value = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: each for name, each in value.items() if name not in without}))
    return folder


def load_both(folder: Path, dtype: str = "float32") -> tuple[Any, Any]:
    arguments = ModelArguments.model_validate({"device": "cpu", "dtype": dtype})
    own, plain = load_model(folder, arguments), load_model(folder, arguments, of_transformers=True)
    assert isinstance(own.network, OwnNetwork)
    assert not isinstance(plain.network, OwnNetwork)
    return own, plain


def same_bits(found: Any, expected: Any) -> None:
    for name in ("packs", "plain_head", "pads", "continues", "context_length", "description"):
        assert getattr(found, name) == getattr(expected, name)
    sequences = encode(expected.tokenizer, TEXTS)
    assert encode(found.tokenizer, TEXTS) == sequences
    for score in (scoring.response_log_probabilities, shared_prefix.response_log_probabilities):
        totals = score(expected, sequences, 60)[0]
        assert np.std(totals) > 1
        assert np.array_equal(score(found, sequences, 60)[0], totals)
    ids = [each.ids for each in sequences]
    for sites in ([Site(0), Site(1)], [Site(0, 1), Site(1, 3)]):
        assert np.array_equal(last_token_activations(found, ids, sites), last_token_activations(expected, ids, sites))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_transformers_to_the_last_bit(kind: str, dtype: str, tmp_path: Path) -> None:
    same_bits(*load_both(write(tmp_path / "model", **KINDS[kind]), dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_padded_rows_and_plain_passes_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    own, plain = load_both(write(tmp_path / "model", **KINDS[kind]))
    plain.network.set_attn_implementation("sdpa")
    ids = torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    with torch.inference_mode():
        for given in (None, mask):
            found, expected = (each.network(ids, attention_mask=given, use_cache=False).logits for each in (own, plain))
            seen = mask.bool() if given is not None else torch.ones_like(mask).bool()
            torch.testing.assert_close(found[seen], expected[seen], atol=2e-4, rtol=1e-4)


def test_older_configurations_and_shards_give_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS["llama-wide"])
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    change(folder, without=("rope_parameters",), rope_theta=50.0, rope_scaling=None, torch_dtype="float32")
    same_bits(*load_both(folder))


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    ("llama", {"rope_parameters": None, "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    ("llama", {"rope_theta": 1e4}),
    ("llama", {"hidden_act": "gelu"}),
    ("llama", {"never_seen": 1}),
    ("llama", {"quantization_config": {"quant_method": "gptq"}}),
    ("llama", {"architectures": ["LlamaForSequenceClassification"]}),
    ("llama", {"model_type": "gemma"}),
    ("llama", {"num_attention_heads": 0}),
    ("llama", {"num_attention_heads": 3}),
    ("llama", {"num_key_value_heads": None}),
    ("llama", {"head_dim": 7}),
    ("llama", {"pad_token_id": 100_000}),
    ("llama", {"rms_norm_eps": "1e-6"}),
    ("llama", {"tie_word_embeddings": "yes"}),
    ("mistral", {"sliding_window": 6}),
    ("mistral", {"attention_bias": True}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 6}),
    ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}),
    ("qwen3", {"head_dim": None}),
]


@pytest.mark.parametrize(("kind", "fields"), CHANGES)
def test_another_configuration_is_left_to_transformers(kind: str, fields: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS[kind])
    assert own_config(folder) is not None
    assert own_config(change(folder, **fields)) is None


@pytest.mark.parametrize("content", ["", "[]", "[1]", "{}", "{", "\ud800"])
def test_a_damaged_configuration_is_left_to_transformers(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8", errors="surrogatepass")
    assert own_config(tmp_path) is None
    assert own_config(tmp_path / "absent") is None


def test_a_missing_field_is_left_to_transformers_whatever_its_default(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS["llama"])
    for name in ("rms_norm_eps", "tie_word_embeddings", "rope_parameters", "num_key_value_heads", "architectures"):
        before = (folder / "config.json").read_text()
        assert own_config(change(folder, without=(name,))) is None
        (folder / "config.json").write_text(before)


def _without(tensors: dict[str, Any]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _of_another_shape(tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].clone()


def _with_one_more(tensors: dict[str, Any]) -> None:
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)


def _with_a_head(tensors: dict[str, Any]) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()


def _of_integers(tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)


@pytest.mark.parametrize("spoil", [_without, _of_another_shape, _with_one_more, _with_a_head, _of_integers])
def test_other_weights_are_left_to_transformers(spoil: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS["llama"])
    assert load_own(folder, torch.float32, torch.device("cpu")) is not None
    tensors = load_file(folder / "model.safetensors")
    spoil(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_own(folder, torch.float32, torch.device("cpu")) is None
    if spoil in (_without, _of_another_shape):
        with pytest.raises(InputError, match=r"weights in .* (incomplete|do not match)"):
            load_model(folder, ModelArguments(device="cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_outline_has_the_properties_of_the_network_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS[kind])
    found = read_outline(folder, ModelArguments(device="cpu", no_cache=True))
    plain = load_model(folder, ModelArguments(device="cpu"), of_transformers=True)
    width = plain.decoder.layers[0].self_attn.o_proj.in_features
    assert list(found.heads) == count_heads(plain.decoder)
    assert (found.depth, found.context_length) == (len(plain.decoder.layers), plain.context_length)
    assert found.head_width * found.heads[0] == width
    assert found.text_bytes == 2 * 4 * (width + plain.network.config.hidden_size)


def test_a_tokenizer_that_is_already_loaded_is_used(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", **KINDS["llama"])
    tokenizer = load_tokenizer(folder)
    for of_transformers in (False, True):
        loaded = load_model(folder, ModelArguments(device="cpu"), tokenizer, of_transformers)
        assert loaded.tokenizer is tokenizer
