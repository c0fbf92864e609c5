"""Published reward models of every kind give the rewards of their authors' recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DebertaV2Config,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from genies.errors import InputError
from tests.support.chat_templates import TEMPLATES, chat_tokenizer
from tests.support.scripts import evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import make_network, make_tokenizer

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "num_labels": 1,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = planted_examples(7, 1, responses=3)
    for example in examples[::2]:
        example["prompt"] = f"### Instruction:\n{example['prompt']}\n\n### Response:\n"
    return write_distribution(tmp_path_factory.mktemp("data") / "d", examples, examples)


def question(example: dict[str, Any]) -> str:
    return str(example["prompt"]).removeprefix("### Instruction:\n").removesuffix("\n\n### Response:\n")


def probabilities(data: Path, reward: Any) -> list[float]:
    """By hand, from a function of (question, response)."""
    found = []
    for example in json.loads((data / "test.json").read_text()):
        texts = example["responses"]
        (best,) = (text for text, label in texts.items() if label == 1)
        for worse in (text for text, label in texts.items() if label == 0):
            found.append(1 / (1 + np.exp(reward(question(example), worse) - reward(question(example), best))))
    return found


def by_template(tokenizer: Any, network: Any) -> Any:
    """The recipe of a model card: the conversation in the chat template, and the only logit."""

    @torch.inference_mode()
    def reward(asked: str, response: str) -> float:
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": response}]
        inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        return float(network(**inputs).logits[0, 0])

    return reward


def chat_model(folder: Path, kind: str = "line_end", family: str = "llama") -> Any:
    """A language model with a chat template in `folder`; returns its tokenizer."""
    tokenizer = chat_tokenizer(kind)
    make_network(family, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def whole(base: Path, **options: Any) -> Any:
    torch.manual_seed(3)
    network = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, **options)
    network.config.pad_token_id = 0
    torch.nn.init.normal_(network.score.weight, std=0.3)
    return network.eval()


def test_a_sharded_classifier_in_bfloat16(tmp_path: Path, data: Path) -> None:
    tokenizer = chat_model(tmp_path / "base", family="qwen2")
    network = whole(tmp_path / "base", dtype=torch.bfloat16)
    network.save_pretrained(tmp_path / "rm", max_shard_size="20kB")
    tokenizer.save_pretrained(tmp_path / "rm")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "rm")  # of Qwen 2, with its own rule where words end
    assert len(list((tmp_path / "rm").glob("*.safetensors"))) > 1
    [found] = evaluate("reward_model", tmp_path / "rm", [data], tmp_path)
    assert (found["prompt_format"], found["dtype"]) == ("chat", "float32")
    expected = probabilities(data, by_template(tokenizer, network.float()))
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    tuned = train("reward_model", tmp_path / "rm", data, tmp_path / "tuned")
    assert evaluate("reward_model", tuned, [data], tmp_path / "again") == [found]


def test_a_value_head_of_trl(tmp_path: Path, data: Path) -> None:
    tokenizer = chat_model(tmp_path / "rm")
    weights = load_file(tmp_path / "rm" / "model.safetensors")
    torch.manual_seed(0)
    head = torch.nn.Linear(32, 1)
    more = {"v_head.summary.weight": head.weight.detach(), "v_head.summary.bias": head.bias.detach()}
    save_file({**weights, **more}, tmp_path / "rm" / "model.safetensors", metadata={"format": "pt"})
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "rm").eval()

    @torch.inference_mode()
    def reward(asked: str, response: str) -> float:
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": response}]
        inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        hidden = network(**inputs, output_hidden_states=True).hidden_states[-1]
        return float(head(hidden)[0, -1, 0])

    [found] = evaluate("reward_model", tmp_path / "rm", [data], tmp_path)
    assert found["eval_probabilities"] == pytest.approx(probabilities(data, reward), abs=1e-4)
    save_file({**weights, "v_head.other": head.bias.detach()}, tmp_path / "rm" / "model.safetensors")
    with pytest.raises(InputError, match=r"value head in .* is of an unknown kind.*v_head\.summary\.weight"):
        evaluate("reward_model", tmp_path / "rm", [data], tmp_path)


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"use_dora": True}], ids=["rslora", "dora"])
def test_an_adapter_with_a_head(tmp_path: Path, data: Path, options: dict[str, Any]) -> None:
    tokenizer = chat_model(tmp_path / "base")
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=4, target_modules="all-linear", init_lora_weights=False, **options
    )
    network = get_peft_model(whole(tmp_path / "base"), config).eval()
    network.save_pretrained(str(tmp_path / "adapter"))
    tokenizer.save_pretrained(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(tmp_path / "base")
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    given = {"base_model_dir": str(tmp_path / "base"), "prompt_format": "chat"}
    [found] = evaluate("reward_model", tmp_path / "adapter", [data], tmp_path, **given)
    assert found["eval_probabilities"] == pytest.approx(probabilities(data, by_template(tokenizer, network)), abs=1e-4)


@pytest.mark.parametrize("config", [DebertaV2Config, ModernBertConfig])
def test_an_encoder_with_a_head(tmp_path: Path, data: Path, config: Any) -> None:
    tokenizer = make_tokenizer("byte_level")
    tokenizer.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<unk>"})
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<unk>",
        eos_token="</s>",
    )
    torch.manual_seed(3)
    more = {"type_vocab_size": 0} if config is DebertaV2Config else {}
    network = AutoModelForSequenceClassification.from_config(config(**SMALL, vocab_size=len(tokenizer), **more)).eval()
    network.save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")

    @torch.inference_mode()
    def reward(asked: str, response: str) -> float:
        inputs = tokenizer(asked, response, return_tensors="pt", return_token_type_ids=False)
        return float(network(**inputs).logits[0, 0])

    [found] = evaluate("reward_model", tmp_path / "rm", [data], tmp_path)
    assert found["prompt_format"] == "segments"
    assert found["eval_probabilities"] == pytest.approx(probabilities(data, reward), abs=1e-4)
    assert np.std(found["eval_probabilities"]) > 0.01


CODE = """
from types import SimpleNamespace
import torch
from transformers import LlamaForSequenceClassification
class Gated(LlamaForSequenceClassification):
    def forward(self, input_ids, attention_mask=None, **kwargs):
        logits = super().forward(input_ids, attention_mask=attention_mask).logits
        return SimpleNamespace(score=2 * logits[:, 0])
"""


def test_code_of_the_author_is_run_only_where_it_is_asked_for(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    tokenizer = chat_model(tmp_path / "base")
    network = whole(tmp_path / "base")
    network.save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")
    (tmp_path / "rm" / "gated.py").write_text(CODE)
    settings = json.loads((tmp_path / "rm" / "config.json").read_text())
    settings |= {"auto_map": {"AutoModelForSequenceClassification": "gated.Gated"}}
    (tmp_path / "rm" / "config.json").write_text(json.dumps(settings))
    [plain] = evaluate("reward_model", tmp_path / "rm", [data], tmp_path)
    assert "code of its author's" in plain["assumptions"][0]
    [found] = evaluate("reward_model", tmp_path / "rm", [data], tmp_path, trust_remote_code=True)
    assert "warning: --trust_remote_code runs the code of the author" in capsys.readouterr().err
    reward = by_template(tokenizer, network)
    expected = probabilities(data, lambda asked, response: 2 * reward(asked, response))
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match="runs on one device; leave out --device_map"):
        evaluate("reward_model", tmp_path / "rm", [data], tmp_path, trust_remote_code=True, device_map="auto")
    asked = {"prompt_format": "chat", "system_prompt": "Be brief.", "trust_remote_code": True}
    tokenizer.chat_template = TEMPLATES["strict"]
    tokenizer.save_pretrained(tmp_path / "rm")
    with pytest.raises(InputError, match=r"d, example 0: the chat template of .* fails"):
        evaluate("reward_model", tmp_path / "rm", [data], tmp_path, **asked)
    with pytest.raises(InputError, match="names no code"):
        evaluate("reward_model", tmp_path / "base", [data], tmp_path, trust_remote_code=True)


def test_other_folders_are_refused_as_what_they_are(tmp_path: Path, data: Path) -> None:
    tokenizer = chat_model(tmp_path / "base")
    with pytest.raises(InputError, match=r"base is not a reward model: its weights lack score\.weight"):
        evaluate("reward_model", tmp_path / "base", [data], tmp_path)
    config = RobertaConfig(**SMALL, vocab_size=len(tokenizer))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    with pytest.raises(InputError, match=r"is an encoder of the type roberta; .* \(DeBERTa-v2, DeBERTa-v3, Mod"):
        evaluate("reward_model", tmp_path / "roberta", [data], tmp_path)
    settings = json.loads((tmp_path / "base" / "config.json").read_text())
    for method, name in (
        ("gptq", "GPTQ"),
        ("awq", "AWQ"),
        ("compressed-tensors", "compressed-tensors"),
        ("fp8", "FP8"),
    ):
        quantized = settings | {"quantization_config": {"quant_method": method}}
        (tmp_path / "base" / "config.json").write_text(json.dumps(quantized))
        with pytest.raises(InputError, match=rf"quantized \({name}\).*download the original model"):
            evaluate("reward_model", tmp_path / "base", [data], tmp_path)
    (tmp_path / "base" / "config.json").write_text(json.dumps(settings))
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "model.gguf")
    with pytest.raises(InputError, match=r"model\.gguf is in the format GGUF"):
        evaluate("reward_model", tmp_path / "base", [data], tmp_path)
