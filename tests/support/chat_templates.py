"""Chat templates of the kinds that models have, for tiny tokenizers."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_models import make_tokenizer

TEMPLATES = {
    # ChatML with a line end after the end of turn, as Qwen 2.5 and SmolLM2.
    "line_end": "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
    # Begin-of-text written by the template, contents without white space at both ends, as Llama 3.
    "trims_and_bos": "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}\n\n{{ m.content | trim }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n\n{% endif %}",
    # No system turn, alternating roles, as Gemma 1 and Mistral 7B; end-of-text instead of an end of turn.
    "strict": "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not "
    "supported') }}{% endif %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation "
    "roles must alternate') }}{% endif %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} "
    "{{ m.content }}</s>{% endif %}{% endfor %}",
    # The date in a system turn, as Llama 3.1.
    "date": "<|start|>system\nToday is {{ strftime_now('%d %b %Y') }}.<|end|>{% for m in messages %}<|start|>"
    "{{ m.role }}\n{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
    # An empty thinking block before the last answer, as Qwen 3; white space before the answer is removed.
    "thinking": "{% for m in messages %}<|start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n"
    "</think>\n\n{{ m.content.lstrip('\\n') }}{% else %}{{ m.content }}{% endif %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}",
    # No end of turn after the last answer, as GLM 4.
    "no_end": "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
}


def chat_tokenizer(kind: str, style: str = "byte_level") -> Any:
    """A tiny tokenizer with the special tokens <|start|> and <|end|> and a template of a kind."""
    tokenizer = make_tokenizer(style)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|end|>"]})
    tokenizer.chat_template = TEMPLATES[kind]
    return tokenizer
