"""pairwise against PEFT's own forward passes over texts written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genies.data.distribution import Distribution, pairs
from tests.support.reward_examples import evaluate, plain_reward, train, write_distribution


def test_p_compares_the_outputs_of_plain_passes_for_both_orders(
    tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_model_dir("llama")
    source = write_distribution(tmp_path / "source", examples=4, responses=3)
    options = {"num_train_steps": 25, "per_device_train_batch_size": 4, "learning_rate": 0.02, "max_grad_norm": 10}
    log = train("pairwise", base, source, tmp_path / "tuned", **options)
    assert log[-1]["accuracy"] == 1.0
    [found] = evaluate("pairwise", tmp_path / "tuned", [source], tmp_path)
    network = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(network, tmp_path / "tuned").eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    expected = []
    for pair in pairs(Distribution(source).test):
        outputs = []
        for a, b in ((pair.best, pair.worse), (pair.worse, pair.best)):
            text = f"{pair.prompt}\n\n[Response A]\n{a}\n\n[Response B]\n{b}{tokenizer.eos_token}"
            with torch.inference_mode():
                outputs.append(float(plain_reward(tuned, tokenizer(text)["input_ids"])))
        expected.append(1 / (1 + np.exp(outputs[1] - outputs[0])))
    assert np.ptp(expected) > 0.05
    assert found["eval_probabilities"] == pytest.approx(expected, abs=1e-4)
    assert "eval_scores" not in found
