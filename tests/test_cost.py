"""The estimate of a job's memory and work, against models that are counted."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from genies.command_line import validate
from genies.cost import SCORING_TOKENS, TRAINING_TOKENS, Device, Step, estimate, read_shape
from genies.lm.forward import DEFAULT_BATCH_TOKENS as FORWARD
from genies.methods.training import dropout
from genies.methods.training.adapters import add_lora
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.gradients import step_gradients
from genies.methods.training.loop import DEFAULT_BATCH_TOKENS as BACKWARD
from genies.methods.training.loop import make_accelerator
from genies.methods.training.pairs import read_training_data
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import add_head
from genies.methods.training.tuning import reward_trainee
from tests.support.project import ROOT
from tests.support.reward_examples import write_distribution

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


def network(given: Mapping[str, Any]) -> Any:
    values: dict[str, Any] = {**SMALL, **given}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values))


@pytest.mark.parametrize("family", CONFIGS)
def test_the_weights_are_those_of_the_model(family: str) -> None:
    model = network({"model_type": family, **CONFIGS[family]})
    names = ("norm", "bias", "ln_", "wpe", "gate.weight")  # of no size in a large model
    counted = sum(each.numel() for name, each in model.named_parameters() if not any(part in name for part in names))
    shape = read_shape(json.loads(model.config.to_json_string(use_diff=False)))
    assert shape is not None
    assert shape.weights == counted


def test_forward_operations_are_those_that_torch_counts() -> None:
    model = network({"model_type": "llama", **CONFIGS["llama"]})
    with FlopCounterMode(display=False) as counter:
        model.model(torch.zeros(1, 50, dtype=torch.long, device="meta"))
    linear = sum(count for operation, count in counter.get_flop_counts()["Global"].items() if "mm" in str(operation))
    found = estimate({**SMALL, **CONFIGS["llama"]}, Step(tokens=50))
    assert found is not None
    attention = 2 * 2 * 50 * 50 * 64 * 3
    assert found.flops in (linear, linear - attention)


def test_the_tuned_weights_of_adapters_are_those_that_peft_adds() -> None:
    from peft import LoraConfig, get_peft_model

    model = network({"model_type": "llama", **CONFIGS["llama"]})
    tuned = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    counted, _ = tuned.get_nb_trainable_parameters()
    found = estimate({**SMALL, **CONFIGS["llama"]}, Step("adapter", lora_rank=8))
    assert found is not None
    assert found.optimizer == 12 * counted


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_activations_of_lora_are_what_autograd_keeps(
    device: Device, dtype: str, tiny_model_dir: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "cuda":  # its masks, drawn on this processor
        monkeypatch.setattr(dropout, "HASHED_DEVICES", frozenset({"cpu"}))
    folder = tiny_model_dir("llama")
    source = write_distribution(tmp_path / "source", examples=5)
    given = {"model_dir": folder, "train_distribution": source, "output_dir": "unused", "lora_rank": 4}
    arguments = validate(LoraArguments, {**given, "device": "cpu", "dtype": dtype})
    model = add_head(load_base_model(folder, arguments, False), seed=0)
    tuned = add_lora(model.classifier, arguments, folder, "SEQ_CLS")
    trainee = reward_trainee(model, tuned)
    pairs = read_training_data(source, None, 0, model.language_model.tokenizer, 256).pairs
    weights = {each.untyped_storage().data_ptr() for each in tuned.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (storage := tensor.untyped_storage()).data_ptr() not in weights and tensor.shape[-2:].numel() > 4 * 48:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    scaler = torch.amp.GradScaler("cpu", enabled=False)
    accelerator, number = make_accelerator(arguments), getattr(torch, dtype)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step_gradients(trainee, pairs, 0, 0, 10**6, accelerator, scaler, number)
    step = Step("adapter", device, dtype, sum(each.packed_tokens for each in pairs), lora_rank=4)
    found = estimate(json.loads((folder / "config.json").read_text()), step)
    assert found is not None
    assert found.activations == pytest.approx(sum(kept.values()), rel=0.1)


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


PUBLISHED = {
    "1B (Llama 3.2)": (2048, 16, 32, 8192, 128256, True),
    "8B (Llama 3.1)": (4096, 32, 32, 14336, 128256, False),
    "32B (Qwen 2.5)": (5120, 64, 40, 27648, 152064, False),
    "70B (Llama 3.1)": (8192, 80, 64, 28672, 128256, False),
}
"""Width, blocks, heads, width of the feed-forward layers, vocabulary and whether embeddings are tied."""
JOBS = {
    "scoring": Step(),
    "scoring, `quantization` `nf4`": Step(four_bits=True),
    "LoRA": Step("adapter"),
    "LoRA, `gradient_checkpointing`": Step("adapter", gradient_checkpointing=True),
    "LoRA, `gradient_checkpointing`, `load_in_4bit`": Step("adapter", gradient_checkpointing=True, four_bits=True),
    "prompt tuning, `gradient_checkpointing`": Step("prompt", gradient_checkpointing=True),
    "full fine-tuning, `gradient_checkpointing`": Step("all", gradient_checkpointing=True),
}
CARD, RATE, TOKENS = 85e9, 4e14, 10**6


def cost_table() -> str:
    """The table of docs/scale.md: memory and hours for a million tokens; bold where the card's memory is too small."""
    lines = [f"| job | {' | '.join(PUBLISHED)} |", f"|---|{'---:|' * len(PUBLISHED)}"]
    for job, step in JOBS.items():
        cells = []
        for width, depth, heads, inner, vocabulary, tied in PUBLISHED.values():
            config = {
                "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads,
                "num_key_value_heads": 8, "intermediate_size": inner, "vocab_size": vocabulary,
                "tie_word_embeddings": tied,
            }  # fmt: skip
            found = estimate(config, replace(step, device="cuda", dtype="bfloat16", tokens=TOKENS))
            assert found is not None
            memory = f"{found.memory / 1e9:,.0f} GB"
            hours = found.flops / RATE / 3600
            cells.append(f"**{memory}**, {hours:.2g} h" if found.memory > CARD else f"{memory}, {hours:.2g} h")
        lines.append(f"| {job} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_in_the_documentation_is_what_the_formula_gives() -> None:
    assert cost_table() in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
