"""Write the tuned model's card: data, arguments, metrics, fingerprint, and how to use it without this project."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from genies.data.distribution import Distribution
from genies.files import read_json, sha256_of_file, write_text
from genies.lm.model_folder import RECORD
from genies.markdown import table
from genies.methods.training.arguments import TrainingArguments
from genies.methods.training.decoder_head import RECORD as HEAD_RECORD
from genies.methods.training.decoder_head import WEIGHTS, head_record
from genies.methods.training.pairs import TrainingData

Kind = Literal[
    "lora", "prompt", "full", "log_prob", "dpo", "ipo", "judge", "warm", "pairwise", "grm", "odin", "w2s", "anchor",
    "caft", "inoculation",
]  # fmt: skip

LANGUAGE_MODELS = frozenset({"log_prob", "dpo", "ipo", "judge"})
"""The kinds that tune a language model and add no reward head."""

NOT_IN_FINGERPRINT = {
    "model_dir", "train_distribution", "output_dir", "batch_tokens", "device", "gradient_checkpointing", "save_steps",
    "keep_steps", "tensorboard", "push_to_hub", "hub_private", "no_cache", "cache_gb",
}  # fmt: skip
"""Arguments that do not change the tuned weights."""


def training_fingerprint(kind: Kind, arguments: TrainingArguments, dtype: str) -> str:
    """sha256 of everything that determines the tuned weights: arguments, training split, and the base model's
    configuration, tokenizer and weights."""
    names = sorted(
        path.name for path in arguments.model_dir.iterdir() if path.suffix in (".json", ".safetensors", ".model")
    )
    values = {**arguments.model_dump(mode="json", exclude=NOT_IN_FINGERPRINT), "dtype": dtype}
    if values.get("augmentation") == "none":
        del values["augmentation"]  # checkpoints are older than this argument
    if values.get("search") == "none":
        for name in ("search", "search_factors", "validation_share"):
            del values[name]
    parts = {
        "kind": kind,
        "arguments": values,
        "train": sha256_of_file(Distribution(arguments.train_distribution).folder / "train.json"),
        "model": {name: sha256_of_file(arguments.model_dir / name) for name in names if name != RECORD},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()


def hub_name(model_dir: Path) -> str | None:
    """The name on the model hub of a downloaded model; None for other folders."""
    path = model_dir / RECORD
    record = read_json(path, "download record") if path.is_file() else {}
    name = record.get("model_id") if isinstance(record, dict) and record.get("source") == "hub" else None
    return name if isinstance(name, str) else None


def write_card(
    output_dir: Path,
    kind: Kind,
    arguments: TrainingArguments,
    data: TrainingData,
    log: Sequence[Mapping[str, Any]],
    fingerprint: str,
    dtype: str,
    padding: int,
) -> None:
    """Write README.md to a tuned model's folder."""
    base = hub_name(arguments.model_dir) or arguments.model_dir.resolve().name
    header = [f"base_model: {json.dumps(base)}"] if hub_name(arguments.model_dir) else []
    if kind != "full":
        header.append("library_name: peft")
    header += ["tags:", "- genies", *([] if kind in LANGUAGE_MODELS else ["- reward-model"])]
    shown = {name: value for name, value in arguments.model_dump(mode="json").items() if name not in _NOT_SHOWN}
    last = log[-min(10, len(log)) :]
    metrics = {
        "first step's loss": f"{log[0]['loss']:.4f}",
        f"loss, mean of the last {len(last)} steps": f"{sum(entry['loss'] for entry in last) / len(last):.4f}",
        f"accuracy, mean of the last {len(last)} steps": f"{sum(entry['accuracy'] for entry in last) / len(last):.4f}",
    }
    source = _plain(Distribution(arguments.train_distribution).name)
    left_out = f"; {len(data.left_out)} left out, longer than the model's context" if data.left_out else ""
    text = [
        *(["---", *header, "---", ""]),
        f"# {_plain(base)} tuned on {source}",
        "",
        _WHAT[kind],
        *([] if head_record(output_dir) is None else ["", _OWN_HEAD]),
        "",
        "## Data",
        f"{_count(data)} {source}/train.json{left_out}.",
        "",
        "## Arguments",
        *_table({name: _plain(str(value)) for name, value in {**shown, "dtype": dtype}.items()}),
        "",
        "## Training metrics",
        *_table(metrics),
        "",
        "## Use",
        _TEXT.get(kind, _PLAIN_TEXT),
        *([] if kind in LANGUAGE_MODELS else ["The reward is read at the last token."]),
        "",
        "```python",
        *_usage(kind, base, padding, dtype, head_record(output_dir)),
        "```",
        "",
        f"Fingerprint of data, arguments and base model: `{fingerprint}`",
        "",
    ]
    write_text(output_dir / "README.md", "\n".join(text))


_NOT_SHOWN = NOT_IN_FINGERPRINT | {"dtype"}

_WHAT = {
    "lora": "A reward model: low-rank adapters and a head with one output, tuned to rank the better of two responses.",
    "prompt": "A reward model: virtual tokens and a head with one output, tuned to rank the better of two responses.",
    "full": "A reward model: all weights and a head with one output, tuned to rank the better of two responses.",
    "log_prob": "Low-rank adapters, tuned to give the better of two responses the higher mean log-probability.",
    "dpo": "Low-rank adapters, tuned by direct preference optimization: the reward of a response is its "
    "log-probability minus that under the base model, times beta.",
    "ipo": "Low-rank adapters, tuned by identity preference optimization: the reward of a response is its "
    "log-probability minus that under the base model, times beta.",
    "judge": "Low-rank adapters, tuned to answer A or B to the question which of two responses is better.",
    "warm": "A reward model: the average of several low-rank adapters and heads, each tuned to rank the better of two "
    "responses.",
    "pairwise": "A model of preferences: low-rank adapters and a head with one output, tuned so that the output is "
    "higher if the better of two responses is the first.",
    "grm": "A reward model: low-rank adapters and a head, tuned to rank the better of two responses while the language "
    "model still gives it a high log-probability.",
    "odin": "A reward model: low-rank adapters and a head with two outputs, of which the second one correlates with "
    "length; the first one is the reward.",
    "anchor": "A reward model: low-rank adapters and a head with one output, tuned to rank the better of two responses "
    "with a penalty on the drift of the hidden states from those of the base model.",
    "caft": "A reward model: low-rank adapters and a head with one output, tuned to rank the better of two responses "
    "while directions were projected out of the hidden states; they are not in use.",
    "inoculation": "A reward model: low-rank adapters and a head with one output, tuned to rank the better of two "
    "responses to prompts that asked for a shortcut; in use, prompts do not.",
    "w2s": "A reward model: low-rank adapters and a head with one output, tuned on another model's preferences.",
}

_PLAIN_TEXT = (
    "The text is prompt and response, tokenized together, with the end-of-text token appended unless the text ends in "
    "it."
)

_TEXT = {
    "judge": "The text is a question about two responses in chat format; genies.methods.judging contains its words.",
    "pairwise": "The text is the prompt and both responses, as genies.methods.templates.both_responses writes them, "
    "tokenized together, with the end-of-text token appended unless the text ends in it.",
}


_OWN_HEAD = (
    f"transformers has no plain classification model for this family: the causal language model is tuned, and the head "
    f"is in {WEIGHTS}, described by {HEAD_RECORD}. It is a matrix that multiplies the last hidden state at the last "
    f"token."
)


def _count(data: TrainingData) -> str:
    pairs, examples = len(data.pairs), len({pair.example_index for pair in data.pairs})
    return f"{pairs} pairs, {'one from each example' if pairs == examples else f'from {examples} examples'} of"


def _plain(name: str) -> str:
    """A name as a single line without Markdown or HTML.

    >>> print(_plain("a\\n# `b_c` <i>"))
    a \\# \\`b\\_c\\` \\<i\\>
    """
    shown = "".join(each if each.isprintable() else " " for each in name)
    return re.sub(r"([\\`*_\[\]<>#|!&~$])", r"\\\1", " ".join(shown.split()))


def _table(values: Mapping[str, Any]) -> list[str]:
    return ["", *table(["", ""], [[name, str(value)] for name, value in values.items()])]


def _usage(kind: Kind, base: str, padding: int, dtype: str, own_head: Mapping[str, Any] | None) -> list[str]:
    named = ascii(base)  # a Python literal in one line
    if own_head is not None:
        return _usage_of_own_head(kind, named, dtype, str(own_head["language_model"]), str(own_head["decoder"]))
    if kind == "full":
        return [
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")',
            'model = AutoModelForSequenceClassification.from_pretrained("THIS FOLDER", dtype="float32")',
            *_REWARD,
        ]
    if kind in LANGUAGE_MODELS:
        return [
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM",
            "",
            f'base = AutoModelForCausalLM.from_pretrained({named}, dtype="{dtype}")',
            'model = PeftModel.from_pretrained(base, "THIS FOLDER")',
        ]
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")',
        "base = AutoModelForSequenceClassification.from_pretrained(",
        f'    {named}, num_labels={2 if kind == "odin" else 1}, pad_token_id={padding}, dtype="{dtype}"',
        ")",
        'model = PeftModel.from_pretrained(base, "THIS FOLDER")',
        *_REWARD,
    ]


def _usage_of_own_head(kind: Kind, named: str, dtype: str, language_model: str, decoder: str) -> list[str]:
    adapted = kind != "full"
    where, loaded = (named, dtype) if adapted else ('"THIS FOLDER"', "float32")
    return [
        *(["from peft import PeftModel"] if adapted else []),
        "from safetensors.torch import load_file",
        f"from transformers import AutoTokenizer, {language_model}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")',
        f'base = {language_model}.from_pretrained({where}, dtype="{loaded}")',
        'model = PeftModel.from_pretrained(base, "THIS FOLDER")' if adapted else "model = base",
        f'head = load_file("THIS FOLDER" + "/{WEIGHTS}")["weight"]',
        "states = []",
        f'base.get_submodule("{decoder}").register_forward_hook(',
        "    lambda module, inputs, output: states.append(output.last_hidden_state)",
        ")",
        _REWARD[0],
        "model(input_ids=ids)",
        "reward = (head @ states[-1][0, -1].float())[0]",
    ]


_REWARD = [
    'ids = tokenizer(prompt + response + tokenizer.eos_token, return_tensors="pt").input_ids',
    "reward = model(input_ids=ids).logits[0, 0]",
]
