"""What training leaves behind is standard: PEFT and transformers load it and give our rewards; what others trained
with them is evaluated here."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from genies.command_line import validate
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.lm.text import encode
from genies.methods.training import hub
from genies.methods.training.arguments import TunedModelArguments
from genies.methods.training.evaluation import load_reward_model
from genies.methods.training.reward_model import rewards
from tests.support.reward_examples import ROOT, code_on_the_card, evaluate, train, write_distribution

QUICK: dict[str, Any] = {"num_train_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source")


def arguments_for(folder: Path, **kwargs: Any) -> TunedModelArguments:
    values = {"model_dir": folder, "distribution_dirs": [], "output_paths": [], "device": "cpu", **kwargs}
    return validate(TunedModelArguments, values)


def texts(source: Path) -> list[str]:
    return [pair.prompt_text + pair.best for pair in pairs(Distribution(source).test)]


def our_rewards(folder: Path, source: Path, **kwargs: Any) -> Any:
    model = load_reward_model(arguments_for(folder, **kwargs))
    found = [(pair.prompt, pair.best) for pair in pairs(Distribution(source).test)]
    return rewards(model, [sequence.ids for sequence in encode(model.language_model.tokenizer, found)])


@torch.inference_mode()
def their_rewards(network: Any, folder: Path, source: Path, batch_size: int, output: int = 0) -> Any:
    """As the model card says: text with the end-of-text token, through the tokenizer left beside the weights."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = [text + tokenizer.eos_token for text in texts(source)]
    found = []
    for start in range(0, len(whole), batch_size):
        inputs = tokenizer(whole[start : start + batch_size], return_tensors="pt", padding=batch_size > 1)
        inputs.pop("token_type_ids", None)
        found += network.eval()(**inputs).logits[:, output].tolist()
    return np.array(found)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("intervention", ["lora_fine_tune", "prompt_tuning"])
def test_peft_loads_the_adapter_and_gives_our_rewards(
    intervention: str, family: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir(family)
    train(intervention, base, source, tmp_path, **QUICK)
    padding = AutoTokenizer.from_pretrained(tmp_path).pad_token_id
    network = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, pad_token_id=padding, dtype=torch.float32
    )
    tuned = PeftModel.from_pretrained(network, tmp_path)
    ours = our_rewards(tmp_path, source)
    assert np.std(ours) > 1e-3
    # transformers cannot tell padding behind virtual tokens
    for batch_size in (1,) if intervention == "prompt_tuning" else (1, 3):
        assert their_rewards(tuned, tmp_path, source, batch_size) == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2", "mistral"])
def test_transformers_loads_the_whole_model_and_gives_our_rewards(
    family: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("full_fine_tune", tiny_model_dir(family), source, tmp_path, **{**QUICK, "learning_rate": 0.001})
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ours = our_rewards(tmp_path, source)
    assert np.std(ours) > 1e-3
    for batch_size in (1, 3):
        assert their_rewards(network, tmp_path, source, batch_size) == pytest.approx(ours, abs=1e-4)


def test_the_card_names_data_arguments_figures_and_fingerprint_and_no_path(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **QUICK)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for expected in ("source/train.json", "accuracy, mean of the last 4", "Fingerprint"):
        assert expected in card
    assert re.search(r"\| learning_rate +\| 0.02 +\|", card)
    assert str(tmp_path) not in card
    assert str(source.parent) not in card


@pytest.mark.parametrize("intervention", ["lora_fine_tune", "prompt_tuning", "full_fine_tune", "warm", "grm", "odin"])
def test_the_code_on_the_card_gives_our_rewards_with_a_base_model_stored_in_16_bits(
    intervention: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny_model_dir("llama")).save_pretrained(base)
    folder = tmp_path / "tuned"
    train(intervention, base, source, folder, **{**QUICK, "learning_rate": 0.002})
    code = code_on_the_card(folder).replace('"THIS FOLDER"', repr(str(folder))).replace("'base'", repr(str(base)))
    ours = our_rewards(folder, source, **({"reward_output": "0"} if intervention == "odin" else {}))
    for pair, expected in zip(pairs(Distribution(source).test)[:3], ours, strict=False):
        names: dict[str, Any] = {"prompt": pair.prompt, "response": pair.best}
        exec(code, names)
        assert float(names["reward"]) == pytest.approx(expected, abs=1e-4)


def test_names_of_folders_and_models_stay_names_on_the_card(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tmp_path / 'evil")\nimport os\n```\n# `head`ing 😀'
    shutil.copytree(tiny_model_dir("llama"), base)
    data = tmp_path / "data`\n## <b>more</b> | x"
    shutil.copytree(source, data)
    for kind in ("lora_fine_tune", "log_prob_classify"):
        train(kind, base, data, tmp_path / kind, **QUICK)
        card = (tmp_path / kind / "README.md").read_text(encoding="utf-8")
        headings = [line for line in card.splitlines() if line.startswith("#")]
        assert len(headings) == 5, headings
        assert "<b>" not in card
        statements = ast.parse(code_on_the_card(tmp_path / kind)).body
        imported = [each.module for each in statements if isinstance(each, ast.ImportFrom)]
        assert imported == ["peft", "transformers"]
        assert not any(isinstance(each, ast.Import) for each in statements)
        constants = [each for each in ast.walk(ast.Module(statements, [])) if isinstance(each, ast.Constant)]
        assert base.name in [each.value for each in constants]
    record = {"source": "hub", "model_id": 'someone/x\nlicense: "mit"\n---\n'}
    (base / "genies_download.json").write_text(json.dumps(record), encoding="utf-8")
    train("lora_fine_tune", base, data, tmp_path / "hub", **QUICK)
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert header == {"base_model": record["model_id"], "library_name": "peft", "tags": ["genies", "reward-model"]}


def publish(base: Path, folder: Path, name: str, outputs: int = 1) -> Any:
    """An adapter with its head as PEFT alone writes one, naming its base model as on a hub; the network."""
    torch.manual_seed(3)
    network = AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs, dtype=torch.float32)
    config = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = get_peft_model(network, config)
    config.base_model_name_or_path = name
    tuned.save_pretrained(str(folder))
    return tuned


def test_a_published_adapter_is_fetched_finds_its_base_model_and_is_evaluated(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = publish(tiny_model_dir("llama"), tmp_path / "published", "someone/small-llama")
    models = tmp_path / "models"
    argv = [sys.executable, str(ROOT / "download_model_from_hf.py"), "someone/rewards", str(models / "rewards")]
    ended = subprocess.run(
        [*argv, "--local_dir", str(tmp_path / "published")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "adapter" in ended.stdout
    assert "someone/small-llama" in ended.stdout
    with pytest.raises(InputError, match="needs its base model someone/small-llama"):
        our_rewards(models / "rewards", source)
    (models / "small-llama").symlink_to(tiny_model_dir("llama"))
    ours = our_rewards(models / "rewards", source)
    assert f"base model of {models / 'rewards'}: {models / 'small-llama'}" in capsys.readouterr().err
    given = our_rewards(models / "rewards", source, base_model_dir=tiny_model_dir("llama"))
    assert np.array_equal(ours, given)
    tokenizer = models / "small-llama"
    assert their_rewards(published, tokenizer, source, 1) == pytest.approx(ours, abs=1e-4)
    evaluation = evaluate("lora_fine_tune", models / "rewards", [source], tmp_path)[0]
    assert len(evaluation["eval_probabilities"]) == 8


def test_an_adapter_of_other_sizes_says_which(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    publish(tiny_model_dir("llama"), tmp_path, str(tiny_model_dir("llama")))
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"r": 2', '"r": 3'), encoding="utf-8")
    with pytest.raises(InputError, match=r"size mismatch for .*\[2, 32\].*\[3, 32\]"):
        our_rewards(tmp_path, source)


@pytest.mark.parametrize(
    "odd",
    [
        {"modules_to_save": 7},
        {"exclude_modules": "["},
        {"target_modules": "["},
        {"target_modules": []},
        {"layer_replication": [[0, 2], [0, 2]]},
        {"layer_replication": [[0, 9]]},
        {"megatron_config": {"a": 1}, "megatron_core": "this"},
        {"r": "two"},
        {"lora_alpha": None},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_followed_ends_with_one_message(
    odd: dict[str, Any], tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    publish(tiny_model_dir("llama"), tmp_path, str(tiny_model_dir("llama")))
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **odd}), encoding="utf-8")
    with pytest.raises(InputError, match=r"does not fit the base model|field megatron_config"):
        our_rewards(tmp_path, source)


def remove_one(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"]


def rename_some(tensors: dict[str, torch.Tensor]) -> None:
    for name in [each for each in tensors if ".layers.0." in each]:
        tensors[name.replace(".layers.0.", ".blocks.0.")] = tensors.pop(name)


def add_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"] = torch.zeros(2, 32)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (remove_one, r"lacks tensors .*: 1, .*layers\.1\.self_attn\.q_proj\.lora_B"),
        (rename_some, r"lacks tensors .*: 4, .*layers\.0\.self_attn\.q_proj\.lora_A"),
        (add_one, r"contains tensors .*: 1, .*layers\.1\.mlp\.up_proj\.lora_A"),
    ],
)
def test_an_adapter_with_missing_foreign_or_further_tensors_is_refused(
    change: Callable[[dict[str, torch.Tensor]], None],
    expected: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
) -> None:
    publish(tiny_model_dir("llama"), tmp_path, str(tiny_model_dir("llama")))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(InputError, match=expected):
        our_rewards(tmp_path, source)


def test_a_pickle_beside_other_safetensors_is_never_read_and_the_way_out_is_told(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    folder, trace = tmp_path / "adapter", tmp_path / "was loaded"
    publish(tiny_model_dir("llama"), folder, str(tiny_model_dir("llama")))
    expected = our_rewards(folder, source)
    weights = folder / "adapter_model.safetensors"
    weights.rename(folder / "other.safetensors")
    # What a hostile author may write: loading it calls os.mkdir.
    (folder / "adapter_model.bin").write_bytes(f"cos\nmkdir\n(V{trace}\ntR.".encode())
    with pytest.raises(InputError, match=r"adapter_model\.bin is a pickle.* PEFT's save_pretrained"):
        our_rewards(folder, source)
    (folder / "other.safetensors").rename(weights)
    assert np.array_equal(our_rewards(folder, source), expected)
    assert not trace.exists()


def test_what_is_no_reward_model_is_refused_by_name(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    publish(base, tmp_path / "generator", str(base))
    path = tmp_path / "generator" / "adapter_config.json"
    path.write_text(path.read_text(encoding="utf-8").replace("SEQ_CLS", "CAUSAL_LM"), encoding="utf-8")
    with pytest.raises(InputError, match="task_type: expected SEQ_CLS, got CAUSAL_LM"):
        our_rewards(tmp_path / "generator", source)
    with pytest.raises(InputError, match=r"weights lack score\.weight"):
        our_rewards(base, source)
    publish(base, tmp_path / "other", str(tiny_model_dir("qwen2")))
    with pytest.raises(InputError, match="does not fit the base model"):
        our_rewards(tmp_path / "other", source)
    (tmp_path / "other" / "adapter_model.safetensors").rename(tmp_path / "other" / "adapter_model.bin")
    with pytest.raises(InputError, match="pickle"):
        our_rewards(tmp_path / "other", source)
    (tmp_path / "other" / "adapter_model.bin").unlink()
    (tmp_path / "other" / "pytorch_lora_weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"has no adapter_model\.safetensors"):
        our_rewards(tmp_path / "other", source)
    publish(base, tmp_path / "fine", str(base))
    with pytest.raises(InputError, match="--base_model_dir"):
        our_rewards(tmp_path / "fine", source, base_model_dir=tmp_path)


def test_a_whole_model_is_evaluated_in_16_bits(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    train("full_fine_tune", tiny_model_dir("llama"), source, tmp_path, num_train_steps=1)
    ours = our_rewards(tmp_path, source)
    assert our_rewards(tmp_path, source, dtype="bfloat16") == pytest.approx(ours, abs=0.05 * float(np.abs(ours).max()))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_whole_model_with_a_head_of_another_kind_is_refused(
    kind: str, tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), num_labels=1, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"linear head"):
        our_rewards(tmp_path, source)


@pytest.mark.parametrize("name", ["no name!", "a/b/c", "", "owner/" + "n" * 100])
def test_a_repository_that_cannot_be_is_told_before_a_model_is_loaded(name: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--push_to_hub .*expected owner/name"):
        train("lora_fine_tune", tmp_path / "no model", source, tmp_path / "output", push_to_hub=name, **QUICK)


def test_what_names_folders_of_this_machine_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.utils._paths import filter_repo_objects

    from genies.folder_hashes import TRAINING_RECORD

    seen: list[str] = []

    def upload_folder(_hub: Any, folder_path: Path, ignore_patterns: list[str], **_others: Any) -> None:
        names = [path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*") if path.is_file()]
        seen.extend(filter_repo_objects(names, ignore_patterns=ignore_patterns))

    monkeypatch.setattr(HfApi, "create_repo", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    for name in (TRAINING_RECORD, "base_model.json", "checkpoint-2/state.json", "README.md", "training_log.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    hub.upload(hub.UploadArguments(folder=tmp_path, repository="nobody/rewards"))
    assert sorted(seen) == ["README.md", "training_log.jsonl"]


@pytest.mark.process
def test_nothing_is_uploaded_unless_asked_for_and_a_failure_keeps_the_model(
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "quiet", **QUICK)
    assert "upload" not in capfd.readouterr().err
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path / "model", push_to_hub="nobody/rewards", **QUICK)
    said = capfd.readouterr().err
    assert "was not uploaded to nobody/rewards" in said
    assert "Traceback" not in said
    assert (tmp_path / "model" / "adapter_model.safetensors").is_file()
