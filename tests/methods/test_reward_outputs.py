"""How a reward comes from several outputs of a head."""

from __future__ import annotations

from typing import Any

import pytest

from genies.errors import InputError
from genies.methods.training.reward_outputs import choose_outputs, is_of_release

LORA: dict[str, Any] = {
    "peft_type": "LORA", "r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["v_proj", "q_proj"],
}  # fmt: skip


def test_one_output_is_the_reward() -> None:
    chosen = choose_outputs(None, ["LABEL_0"], "m")
    assert chosen.weights == (1.0,)
    assert chosen.assumption is None


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        (["bad", "good"], (-1, 1)),
        (["GOOD", "BAD"], (1, -1)),
        (["Negative ", "positive"], (-1, 1)),
        (["chosen", "rejected"], (1, -1)),
        (["non_toxic", "toxic"], (1, -1)),
    ],
)
def test_two_opposite_labels_are_their_difference_and_that_is_said(labels: list[str], weights: tuple[int, ...]) -> None:
    chosen = choose_outputs(None, labels, "m")
    assert chosen.weights == weights
    better = labels[weights.index(1)]
    assert chosen.assumption is not None
    assert f"the output {better!r} minus" in chosen.assumption


@pytest.mark.parametrize(
    "labels",
    [
        ["LABEL_0", "LABEL_1"],
        ["0", "1"],
        ["good", "good"],
        ["good", "positive"],
        ["a", "b", "c"],
        ["bad", "ok", "good"],
    ],
)
def test_outputs_whose_labels_say_nothing_need_to_be_named(labels: list[str]) -> None:
    with pytest.raises(InputError, match=rf"m has {len(labels)} outputs .*--reward_output.*mean"):
        choose_outputs(None, labels, "m")


@pytest.mark.parametrize(
    ("asked", "labels", "weights"),
    [
        ("1", ["a", "b", "c"], (0, 1, 0)),
        ("c", ["a", "b", "c"], (0, 0, 1)),
        ("mean", ["a", "b", "c", "d"], (0.25,) * 4),
        ("difference", ["LABEL_0", "LABEL_1"], (-1, 1)),
        ("difference", ["good", "bad"], (1, -1)),
        ("0", ["1", "0"], (0, 1)),  # a label comes before an index
        ("0", ["LABEL_0"], (1,)),
        ("mean", ["LABEL_0"], (1,)),
    ],
)
def test_the_output_asked_for_is_taken_and_nothing_assumed(
    asked: str, labels: list[str], weights: tuple[float, ...]
) -> None:
    chosen = choose_outputs(asked, labels, "m", of_release=True)
    assert chosen.weights == weights
    assert chosen.assumption is None


@pytest.mark.parametrize(
    ("asked", "count"), [("3", 3), ("-1", 3), ("d", 3), ("difference", 3), ("difference", 1), ("1", 1), ("²", 3)]
)
def test_an_output_that_is_not_there_is_refused_with_those_that_are(asked: str, count: int) -> None:
    with pytest.raises(InputError, match=rf"--reward_output {asked}: m has {count} output.*expected"):
        choose_outputs(asked, ["a", "b", "c"][:count], "m")


def test_adapters_of_the_release_are_the_mean_of_their_two_outputs() -> None:
    assert is_of_release(LORA, 2)
    assert is_of_release({**LORA, "target_modules": ["query_key_value"], "use_dora": False}, 2)
    assert is_of_release({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 10}, 2)
    chosen = choose_outputs(None, ["LABEL_0", "LABEL_1"], "m", of_release=True)
    assert chosen.weights == (0.5, 0.5)
    assert "mean of the head's two outputs" in str(chosen.assumption)


@pytest.mark.parametrize(
    "other",
    [
        {"r": 8}, {"lora_alpha": 64}, {"lora_dropout": 0.0}, {"target_modules": ["q_proj", "k_proj", "v_proj"]},
        {"target_modules": "all-linear"}, {"use_rslora": True}, {"use_dora": True},
        {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 20},
    ],
    ids=str,
)  # fmt: skip
def test_other_adapters_with_two_outputs_are_not_taken_for_the_releases(other: dict[str, Any]) -> None:
    assert not is_of_release({**LORA, **other}, 2)


def test_an_adapter_of_the_releases_settings_with_another_number_of_outputs_is_not_taken_for_it() -> None:
    assert not is_of_release(LORA, 1)
    assert not is_of_release(LORA, 3)
