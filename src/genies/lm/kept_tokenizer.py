"""A tokenizer stored as what transformers made of a model folder, and used without transformers.

Its import takes seconds. What AutoTokenizer reads from a folder depends on the class, the configuration and the version
of transformers; the tokenizer of the library tokenizers that it ends in is stored, so that both return the same ids.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

_STEPS = ("__call__", "_encode_plus", "_batch_encode_plus", "_call_one", "_convert_encoding", "backend_tokenizer",
          "set_truncation_and_padding")  # fmt: skip
"""What transformers does around the stored tokenizer. A class with its own version of one of them is not stored."""

_PROBES = ["", " a", "A b\n\n  c.", "x<s></s>y", "\u00e9\u4e2d\U0001f600 1234"]


def record_of(tokenizer: Any) -> dict[str, Any] | None:
    """What KeptTokenizer needs, as a JSON object; None if it would not return the ids of this fast tokenizer."""
    from transformers import PreTrainedTokenizerFast

    kind = type(tokenizer)
    own = any(getattr(kind, name, None) is not getattr(PreTrainedTokenizerFast, name, None) for name in _STEPS)
    if own or tokenizer.split_special_tokens:
        return None
    record = {
        "backend": tokenizer.backend_tokenizer.to_str(),
        "eos_token": tokenizer.eos_token,
        "eos_token_id": tokenizer.eos_token_id,
        "chat_template": tokenizer.chat_template,
    }
    kept = KeptTokenizer(Path(tokenizer.name_or_path), record)
    for special in (True, False):
        asked = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_attention_mask": False}
        expected = tokenizer(_PROBES, add_special_tokens=special, **asked)
        found = kept(_PROBES, add_special_tokens=special)
        if any(found[name] != expected[name] for name in found):
            return None
    return record


class KeptTokenizer:
    """A stored tokenizer: ids, offsets and the end-of-text token. For the rest, transformers' own is loaded."""

    is_fast = True

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        """Raises KeyError or ValueError for a damaged record."""
        from tokenizers import Tokenizer

        try:
            self.backend_tokenizer: Any = Tokenizer.from_str(record["backend"])
        except Exception as error:  # tokenizers raises Exception itself
            raise ValueError(str(error)) from None
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.name_or_path = str(folder)
        self.eos_token, self.eos_token_id = record["eos_token"], record["eos_token_id"]
        self.chat_template = record["chat_template"]

    def __call__(self, texts: list[str], add_special_tokens: bool = True, **_: Any) -> dict[str, Any]:
        """Ids, offsets and masks of special tokens, without padding and truncation."""
        encoded = self.backend_tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        return {
            "input_ids": [each.ids for each in encoded],
            "offset_mapping": [each.offsets for each in encoded],
            "special_tokens_mask": [each.special_tokens_mask for each in encoded],
        }

    @cached_property
    def _whole(self) -> Any:
        from genies.lm.model import load_tokenizer

        return load_tokenizer(Path(self.name_or_path))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._whole, name)
