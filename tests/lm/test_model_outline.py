"""The stored outline of a model, and the tokenizer in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from genies.data.conversation import Message, Prompt
from genies.lm.arguments import ModelArguments
from genies.lm.kept_tokenizer import KeptTokenizer, record_of
from genies.lm.model import load_tokenizer
from genies.lm.model_outline import read_outline
from genies.lm.text import encode
from tests.support.chat_templates import chat_tokenizer
from tests.support.families import write_family
from tests.support.scripts import INTERVENTIONS, evaluate, planted_examples, train, write_distribution
from tests.support.tiny_models import FAMILIES, TOKENIZERS, make_tokenizer, write_tiny_model

TEXTS = [
    ("", " Paris"),
    ("Q: What is warm?\nA:", "\n\n    The sun  is warm."),
    ("<s>Überall</s> größere", "今日は <unk> 👋🏽</s>"),
    ("### Response:", ""),
    ("tab\there\r\n", "<|end|> e\u0301 \u00a0"),
]


def outlines() -> list[Path]:
    return sorted((Path(os.environ["GENIES_CACHE"]) / "outlines").glob("*.json"))


def read_twice(folder: Path, **arguments: Any):
    derived, stored = (read_outline(folder, ModelArguments(**arguments)) for _ in range(2))
    assert not isinstance(derived.tokenizer, KeptTokenizer)
    assert isinstance(stored.tokenizer, KeptTokenizer)
    return derived, stored


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_outline_is_the_one_derived_from_the_network(family, tiny_model_dir):
    derived, stored = read_twice(tiny_model_dir(family), dtype="bfloat16")
    names = [name for name in vars(derived) if name != "tokenizer"]
    assert [getattr(stored, name) for name in names] == [getattr(derived, name) for name in names]


@pytest.mark.parametrize("style", TOKENIZERS)
def test_a_stored_tokenizer_returns_the_ids_of_transformers(style, tiny_model_dir):
    folder = tiny_model_dir("llama", style)
    _, stored = read_twice(folder)
    plain = AutoTokenizer.from_pretrained(str(folder))
    assert encode(stored.tokenizer, TEXTS) == encode(plain, TEXTS)
    texts = [prompt + response for prompt, response in TEXTS]
    assert stored.tokenizer(texts)["input_ids"] == plain(texts)["input_ids"]


@pytest.mark.parametrize("settings", [{"padding": True}, {"truncation": True}, {"add_bos_token": True}])
def test_settings_in_the_files_of_a_tokenizer_change_no_id(settings, tmp_path):
    folder = write_tiny_model(tmp_path / "model", "llama", "byte_level_with_bos")
    content = json.loads((folder / "tokenizer.json").read_text())
    if "padding" in settings:
        content["padding"] = {
            "strategy": {"Fixed": 40}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<unk>",
        }  # fmt: skip
    if "truncation" in settings:
        content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | settings))
    derived, stored = read_twice(folder)
    assert encode(stored.tokenizer, TEXTS) == encode(derived.tokenizer, TEXTS)


@pytest.mark.parametrize("style", ["byte_level", "metaspace"])
def test_conversations_are_rendered_with_the_tokenizer_of_transformers(style, tmp_path, tiny_model_dir):
    folder = write_tiny_model(tmp_path / "model")
    chat_tokenizer("thinking", style).save_pretrained(folder)
    _, stored = read_twice(folder)
    texts: list[tuple[Prompt, str]] = [((Message("user", "Which city?"),), "Paris."), (" a", " b")]
    assert encode(stored.tokenizer, texts) == encode(load_tokenizer(folder), texts)


def test_a_tokenizer_with_its_own_calls_is_not_stored():
    class Own(PreTrainedTokenizerFast):
        def _encode_plus(self, *args, **named):
            return super()._encode_plus(*args, **named)

    plain = make_tokenizer("byte_level")
    assert record_of(plain) is not None
    assert record_of(Own(tokenizer_object=plain.backend_tokenizer, eos_token="</s>")) is None
    plain.split_special_tokens = True
    assert record_of(plain) is None


@pytest.mark.parametrize("content", ["", "[]", '{"shape": {}}', "cut"])
def test_a_damaged_outline_is_derived_again(content, tiny_model_dir):
    folder = tiny_model_dir()
    expected = read_outline(folder, ModelArguments())
    [path] = outlines()
    path.write_text(path.read_text()[:-200] if content == "cut" else content)
    assert read_outline(folder, ModelArguments()).heads == expected.heads
    assert isinstance(read_outline(folder, ModelArguments()).tokenizer, KeptTokenizer)


def test_a_changed_config_or_tokenizer_is_read_again(tmp_path):
    folder = write_tiny_model(tmp_path / "model")
    assert read_outline(folder, ModelArguments()).context_length == 256
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 99}))
    assert read_outline(folder, ModelArguments()).context_length == 99
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<unk>"}))
    assert read_outline(folder, ModelArguments()).tokenizer.eos_token == "<unk>"


def test_without_the_cache_no_outline_is_stored(tiny_model_dir):
    read_outline(tiny_model_dir(), ModelArguments(no_cache=True))
    assert not outlines()


def test_heads_of_different_widths_are_stored(tmp_path):
    derived, stored = read_twice(write_family(tmp_path / "model", "gemma4_text"))
    assert (stored.heads, stored.head_width, stored.text_bytes) == (
        derived.heads, derived.head_width, derived.text_bytes,
    )  # fmt: skip


_LIST = """
import atexit, runpy, sys
atexit.register(lambda: print(*sorted({name.partition(".")[0] for name in sys.modules})))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def evaluated_in_a_process(
    intervention: str, tuned: Path, source: Path, path: Path, *more: str
) -> tuple[bytes, set[str]]:
    """The evaluation file that a script of an intervention writes, and the libraries that it imports."""
    items = ["--model_dir", str(tuned), "--distribution_dirs", json.dumps([str(source)]), "--device", "cpu", *more]
    command = [sys.executable, "-c", _LIST, str(INTERVENTIONS / intervention / "eval.py"), *items]
    command += ["--output_paths", json.dumps([str(path)])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return path.read_bytes(), set(done.stdout.split())


@pytest.mark.process
@pytest.mark.parametrize("intervention", ["mms", "lat_stim_1", "cra", "ccs", "logistic_probe"])
def test_an_evaluation_that_finds_all_activations_imports_no_torch(intervention, tmp_path, tiny_model_dir):
    source = write_distribution(tmp_path / "data", planted_examples(20, 0), planted_examples(6, 1))
    tuned = train(intervention, tiny_model_dir(), source, tmp_path / "tuned", device="cpu")

    evaluate(intervention, tuned, [source], tmp_path, device="cpu")  # reads the test examples with the model
    again, loaded = evaluated_in_a_process(intervention, tuned, source, tmp_path / "again.json")
    assert {"numpy", "tokenizers"} <= loaded
    assert not loaded & {"torch", "transformers", "sklearn", "huggingface_hub"}
    assert again == (tmp_path / "0.json").read_bytes()


@pytest.mark.process
@pytest.mark.parametrize("intervention", ["zero_shot", "few_shot", "mms"])
def test_a_model_runs_without_transformers_once_its_outline_is_stored(intervention, tmp_path, tiny_model_dir):
    source = write_distribution(tmp_path / "data", planted_examples(20, 0), planted_examples(6, 1))
    folder = tiny_model_dir()
    read_outline(folder, ModelArguments())
    tuned = train(intervention, folder, source, tmp_path / "tuned", device="cpu")
    found, loaded = evaluated_in_a_process(intervention, tuned, source, tmp_path / "own.json")
    assert "torch" in loaded
    assert not loaded & {"transformers", "sklearn", "huggingface_hub"}
    # Without the outline, the tokenizer is that of transformers.
    expected, loaded = evaluated_in_a_process(intervention, tuned, source, tmp_path / "cold.json", "--no_cache", "True")
    assert "transformers" in loaded
    assert found == expected
