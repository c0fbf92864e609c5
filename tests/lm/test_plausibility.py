import json
import shutil
import time

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence, Split

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.model import load_model, load_tokenizer
from genies.lm.model_outline import read_outline
from genies.lm.text import encode


@pytest.fixture
def folder(tiny_model_dir, tmp_path):
    """A copy of a model folder to damage."""
    return shutil.copytree(tiny_model_dir("llama"), tmp_path / "model")


def change(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("read", [load_model, read_outline])
def test_an_adapter_beside_a_whole_model_is_refused_and_not_loaded_over_another_one(folder, tmp_path, read) -> None:
    # transformers by itself would load the model that the adapter names, from anywhere, without a word.
    other = shutil.copytree(folder, tmp_path / "other")
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(other), "peft_type": "LORA"})
    )
    with pytest.raises(InputError, match=r"a whole model and adapter_config\.json.*remove one"):
        read(folder, ModelArguments(device="cpu"))


@pytest.mark.parametrize("read", [load_model, read_outline])
@pytest.mark.parametrize("fields", [{"num_hidden_layers": 10**9}, {"text_config": {"num_hidden_layers": 10**9}}])
def test_a_configuration_of_more_blocks_than_there_are_tensors_is_refused_at_once(folder, read, fields) -> None:
    change(folder / "config.json", **fields)
    started = time.monotonic()
    with pytest.raises(
        InputError, match=r"num_hidden_layers: 1,000,000,000 blocks, but the weights have only 2\d tens"
    ):
        read(folder, ModelArguments(device="cpu"))
    assert time.monotonic() - started < 30


def test_a_regular_expression_that_does_not_end_is_given_up(folder) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    endless = Split(Regex(r"(a|a)+(?!a|b|$)"), "isolated")
    tokenizer.pre_tokenizer = Sequence([endless, tokenizer.pre_tokenizer])
    tokenizer.save(str(folder / "tokenizer.json"))
    loaded = load_tokenizer(folder)
    assert encode(loaded, [("a b", " c")])
    with pytest.raises(InputError, match=r"cannot split a text into tokens .*retry-limit"):
        encode(loaded, [("a" * 40, "b")])
    assert encode(loaded, [("a b", " c")])  # it still works
