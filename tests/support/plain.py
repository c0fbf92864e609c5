"""The plain way, for comparison: one forward pass of transformers' own model for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM


@cache
def plain_network(folder: Path) -> Any:
    """The model as transformers loads it, its attention computed step by step."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@torch.inference_mode()
def plain_last_hidden(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """Last hidden states [tokens, width]."""
    hidden: torch.Tensor = plain_network(folder).base_model(torch.tensor([list(ids)])).last_hidden_state[0]
    return hidden


@torch.inference_mode()
def plain_log_probability(folder: Path, ids: Sequence[int], response: Sequence[int]) -> float:
    """Sum of the log-probabilities of the tokens at `response` positions."""
    logits = plain_network(folder)(torch.tensor([list(ids)])).logits[0].double().log_softmax(-1)
    return float(sum(logits[place - 1, ids[place]] for place in response if place > 0))


@torch.inference_mode()
def plain_hidden_states(folder: Path, ids: Sequence[int]) -> np.ndarray:
    """Hidden states [blocks, width] at the last token, after each block but the last, which transformers norms."""
    states = plain_network(folder)(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states
    return torch.stack([state[0, -1] for state in states[1:-1]]).numpy()
