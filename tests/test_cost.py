"""The estimate of a job's memory and work, against models that are counted."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from genies.cost import SCORING_TOKENS, TRAINING_TOKENS, Step, estimate, read_shape
from genies.lm.forward import DEFAULT_BATCH_TOKENS as FORWARD
from genies.methods.training.loop import DEFAULT_BATCH_TOKENS as BACKWARD

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "vocab_size": 500,
}  # fmt: skip
CONFIGS = {
    "llama": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "mistral": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 32},
    "gpt_neox": {},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_inner": 160},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
}


def network(given: dict[str, object]) -> torch.nn.Module:
    values = {**SMALL, **given}
    with torch.device("meta"):
        model: torch.nn.Module = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(values.pop("model_type"), **values)
        )
    return model


@pytest.mark.parametrize("family", CONFIGS)
def test_the_weights_are_those_of_the_model(family: str) -> None:
    model = network({"model_type": family, **CONFIGS[family]})
    names = ("norm", "bias", "ln_", "wpe", "gate.weight")  # of no size in a large model
    counted = sum(each.numel() for name, each in model.named_parameters() if not any(part in name for part in names))
    shape = read_shape(json.loads(model.config.to_json_string(use_diff=False)))  # type: ignore[attr-defined, operator]
    assert shape is not None
    assert shape.weights == counted


def test_forward_operations_are_those_that_torch_counts() -> None:
    model = network({"model_type": "llama", **CONFIGS["llama"]})
    with FlopCounterMode(display=False) as counter:
        model.model(torch.zeros(1, 50, dtype=torch.long, device="meta"))  # type: ignore[operator]
    linear = sum(count for operation, count in counter.get_flop_counts()["Global"].items() if "mm" in str(operation))
    found = estimate({**SMALL, **CONFIGS["llama"]}, Step(tokens=50))
    assert found is not None
    attention = 2 * 2 * 50 * 50 * 64 * 3
    assert found.flops in (linear, linear - attention)


def test_the_tuned_weights_of_adapters_are_those_that_peft_adds() -> None:
    from peft import LoraConfig, get_peft_model

    model = network({"model_type": "llama", **CONFIGS["llama"]})
    tuned = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))  # type: ignore[arg-type]
    counted, _ = tuned.get_nb_trainable_parameters()
    found = estimate({**SMALL, **CONFIGS["llama"]}, Step("adapter", lora_rank=8))
    assert found is not None
    assert found.optimizer == 12 * counted


def test_known_sizes_of_a_model_of_eight_billion_weights() -> None:
    scored, tuned = (estimate(LLAMA_8B, Step(kind, "cuda", "bfloat16")) for kind in ("nothing", "all"))
    assert scored is not None
    assert tuned is not None
    assert scored.weights / 1e9 == pytest.approx(16.06, abs=0.01)  # 8.03 billion weights
    assert tuned.optimizer == 12 * (8_030_261_248 - 65 * 4096)  # less the norms
    quarter = estimate(LLAMA_8B, Step("adapter", "cuda", "bfloat16", four_bits=True, gradient_checkpointing=True))
    whole = estimate(LLAMA_8B, Step("adapter", "cuda", "bfloat16"))
    assert quarter is not None
    assert whole is not None
    assert quarter.weights < whole.weights / 2
    assert quarter.activations < whole.activations / 10


def test_defaults_are_those_of_the_forward_and_backward_passes() -> None:
    assert dict(SCORING_TOKENS) == FORWARD
    assert dict(TRAINING_TOKENS) == BACKWARD


@pytest.mark.parametrize("absent", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_config_without_its_sizes_has_no_estimate(absent: str) -> None:
    assert estimate({name: value for name, value in LLAMA_8B.items() if name != absent}, Step()) is None
