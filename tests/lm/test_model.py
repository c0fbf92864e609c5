import copy
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    Gemma2Config,
    Gemma2PreTrainedModel,
    OpenAIGPTConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.text import encode
from tests.lm.test_scoring import TEXTS
from tests.support.plain import plain_log_probability
from tests.support.tiny_models import make_tokenizer


@pytest.fixture
def folder(tiny_model_dir, tmp_path):
    """A copy of a model folder to damage."""
    return shutil.copytree(tiny_model_dir("llama"), tmp_path / "model")


def message(folder, **arguments):
    with pytest.raises(InputError) as caught:
        load_model(folder, ModelArguments(**arguments))
    assert str(folder) in str(caught.value) or arguments
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_float32_on_a_cpu_by_default(tiny_model_dir):
    model = load_model(tiny_model_dir("llama"), ModelArguments(device="cpu"))
    assert model.description == {"dtype": "float32", "device": "cpu"}
    assert model.context_length == 256
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_scores_nearly_the_same(dtype, tiny_model_dir, tiny_model):
    model = load_model(tiny_model_dir("llama"), ModelArguments(device="cpu", dtype=dtype))
    assert model.description["dtype"] == dtype
    assert model.packs
    sequences = encode(model.tokenizer, TEXTS)
    totals, _ = response_log_probabilities(model, sequences)
    expected, _ = response_log_probabilities(tiny_model("llama"), sequences)
    assert totals == pytest.approx(expected, rel=0.1, abs=0.5)


def test_matmul_precision_is_set(tiny_model_dir):
    load_model(tiny_model_dir("llama"), ModelArguments(matmul_precision="medium"))
    assert torch.get_float32_matmul_precision() == "medium"
    load_model(tiny_model_dir("llama"))
    assert torch.get_float32_matmul_precision() == "highest"


def test_no_folder(tmp_path):
    assert "does not exist" in message(tmp_path / "nowhere")


def test_no_config(folder):
    (folder / "config.json").unlink()
    assert "no config.json" in message(folder)


def test_config_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    assert "not valid JSON" in message(folder)


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "no weights" in message(folder)


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert re.search(r"pytorch_model\.bin.*convert it to safetensors", message(folder))


@pytest.mark.parametrize("size", [0, 5, 100, 5000])
def test_cut_off_weights(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert "damaged" in message(folder)


def test_a_missing_shard(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
    )
    assert "lacks model-00002-of-00002.safetensors" in message(folder)


def test_weights_that_lack_a_tensor(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    assert re.search(r"incomplete: \d+ tensors .* are missing", message(folder))


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    assert "weights in" in message(folder)


def test_no_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "readable tokenizer" in message(folder)


def test_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    assert "readable tokenizer" in message(folder)


def test_unknown_architecture(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "starship", "architectures": ["Starship"]}))
    assert "no decoder" in message(folder)


def test_an_encoder_decoder_is_no_decoder(folder):
    config = T5Config(vocab_size=400, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    assert "no decoder" in message(folder)


def test_remote_code_is_not_run(folder):
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert "model folder" in message(folder)


def test_a_gpu_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cuda" in message(folder, device="cuda")


def test_ids_beyond_the_vocabulary_are_a_message(tiny_model):
    with pytest.raises(InputError, match="do not belong together"):
        response_log_probabilities(tiny_model("llama"), encode(make_tokenizer("metaspace"), [("日本", " the answer")]))


OPENAI_GPT = OpenAIGPTConfig(vocab_size=400, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
GEMMA2 = Gemma2Config(
    vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    intermediate_size=48, sliding_window=6, initializer_range=0.3, attn_logit_softcapping=2.0,
    final_logit_softcapping=3.0,
)  # fmt: skip


def test_a_model_that_cannot_take_rows_falls_back_with_one_warning_and_scores_the_same(tmp_path, capsys):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(OPENAI_GPT).save_pretrained(tmp_path)
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    capsys.readouterr()
    model = load_model(tmp_path)
    assert not model.packs
    assert capsys.readouterr().err.count("packed rows") == 1
    sequences = encode(model.tokenizer, TEXTS)
    totals, _ = response_log_probabilities(model, sequences, batch_tokens=100)
    expected = [plain_log_probability(tmp_path, each.ids, each.response) for each in sequences]
    assert totals == pytest.approx(expected, abs=1e-4)


def test_soft_capping_is_kept_where_a_version_of_transformers_drops_it(tmp_path, monkeypatch):
    """As transformers 5.0 did: Gemma 2 ran with scaled_dot_product_attention, which left the cap out."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(GEMMA2).save_pretrained(tmp_path)
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    dropped = AttentionInterface._global_mapping["sdpa"]

    def dropping(*args, softcap=None, **kwargs):
        return dropped(*args, **kwargs)

    monkeypatch.setitem(AttentionInterface._global_mapping, "sdpa", dropping)
    monkeypatch.setattr(Gemma2PreTrainedModel, "_supports_sdpa", True)
    model = load_model(tmp_path)
    sequences = encode(model.tokenizer, TEXTS)
    expected = [plain_log_probability(tmp_path, each.ids, each.response) for each in sequences]
    assert response_log_probabilities(model, sequences)[0] == pytest.approx(expected, abs=1e-4)
    ids = torch.tensor([sequences[0].ids])
    model.network.set_attn_implementation("eager")
    uncapped = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="sdpa")
    assert float((uncapped(ids).logits - model.network(ids).logits).abs().max()) > 0.01


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cap", [None, 30.0])
def test_a_cap_on_logits_is_found_where_those_of_the_model_are_small(cap, dtype, tmp_path):
    config = copy.deepcopy(GEMMA2)
    config.final_logit_softcapping, config.initializer_range = cap, 0.02
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    model = load_model(tmp_path, ModelArguments(dtype=dtype))
    model.network.set_attn_implementation("eager")
    assert float(model.network(torch.tensor([[5, 6, 7]])).logits.abs().max()) < 3
    assert model.plain_head == (cap is None)


def test_a_model_whose_tokens_see_later_ones_is_no_decoder(tmp_path):
    config = BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    make_tokenizer("byte_level").save_pretrained(tmp_path)
    assert "expected a causal language model" in message(tmp_path)


def test_the_arguments_cost_no_torch():
    code = "import sys, genies.lm.arguments, genies.lm.sites; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("chosen", "expected"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_that_wait_sleep_soon_unless_the_user_chose_otherwise(chosen, expected):
    code = """
import os, sys, genies.lm.model
from genies.command_line import Arguments
from genies.contract import run
from genies.processes.process import step_environment
found = [os.environ.get("GOMP_SPINCOUNT"), step_environment().get("GOMP_SPINCOUNT")]
class Nothing(Arguments):
    pass
def body(args: Nothing) -> None:
    print(*found, os.environ.get("GOMP_SPINCOUNT"))
run(body)
"""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | chosen, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(chosen.get("GOMP_SPINCOUNT")), expected, expected]  # an import changes nothing
