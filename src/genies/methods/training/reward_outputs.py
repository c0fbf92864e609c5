"""Compute one reward from a head with several outputs: one weight per output, by the head's labels or by argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genies.errors import InputError

_OPPOSITES = (
    ("negative", "positive"), ("bad", "good"), ("worse", "better"), ("rejected", "chosen"),
    ("dispreferred", "preferred"),
    ("incorrect", "correct"), ("wrong", "right"), ("false", "true"), ("no", "yes"), ("unsafe", "safe"),
    ("harmful", "harmless"), ("unhelpful", "helpful"), ("toxic", "non-toxic"), ("unacceptable", "acceptable"),
)  # fmt: skip
"""Pairs of labels; the second is the class of good responses."""

_RELEASE_LORA = {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1}
_RELEASE_MODULES = (["q_proj", "v_proj"], ["query_key_value"])
_RELEASE_VIRTUAL_TOKENS = 10


@dataclass(frozen=True)
class RewardOutputs:
    """A reward as a weighted sum of outputs."""

    weights: tuple[float, ...]
    """One weight for each output of the head."""
    assumption: str | None = None
    """The assumption made in choosing the weights, as a sentence; None if there is none."""


ONE = RewardOutputs((1.0,))
"""For a head with one output, which is the reward."""


def choose_outputs(asked: str | None, labels: Sequence[str], name: str, of_release: bool = False) -> RewardOutputs:
    """Choose the reward of a head with one output per label; `name` is the model's name in messages.

    asked: a label, the index of an output, mean, or difference. The difference of two outputs is that of the class of
    good responses, by its label or else the second output, minus the other. With None, a single output is the reward;
    of two outputs, the reward is the mean with `of_release` (adapters of the 2023 release), or the difference if the
    labels are opposites. Raises InputError in all other cases, and for an output that does not exist.
    """
    count = len(labels)
    better = _better_class(labels)
    if asked is not None:
        return RewardOutputs(_weights(asked, labels, better, name))
    if count == 1:
        return ONE
    if of_release and count == 2:
        return RewardOutputs(
            _mean(2), "the reward is the mean of the head's two outputs, as the adapters of the 2023 release have it"
        )
    if better is not None:
        return RewardOutputs(
            _difference(better), f"the reward is the output {labels[better]!r} minus the output {labels[1 - better]!r}"
        )
    raise InputError(
        f"{name} has {count} outputs ({_shown(labels)}), and their labels do not determine the reward; choose it with "
        f"--reward_output (of eval.py; in other commands --eval_kwargs '{{\"reward_output\": ...}}'): {_choices(count)}"
    )


def is_of_release(config: Mapping[str, Any], outputs: int) -> bool:
    """Whether an adapter's configuration is that of the 2023 release, which trained heads with two outputs."""
    if outputs != 2:
        return False
    if config.get("peft_type") == "PROMPT_TUNING":
        return config.get("num_virtual_tokens") == _RELEASE_VIRTUAL_TOKENS
    modules = config.get("target_modules")
    return (
        all(config.get(name) == value for name, value in _RELEASE_LORA.items())
        and not config.get("use_rslora")
        and not config.get("use_dora")
        and (modules is None or (isinstance(modules, list) and sorted(modules) in _RELEASE_MODULES))
    )


def _weights(asked: str, labels: Sequence[str], better: int | None, name: str) -> tuple[float, ...]:
    count = len(labels)
    index = _index(asked, labels)
    if index is not None:
        return tuple(float(place == index) for place in range(count))
    if asked == "mean":
        return _mean(count)
    if asked == "difference" and count == 2:
        return _difference(1 if better is None else better)
    raise InputError(
        f"--reward_output {asked}: {name} has {count} output{'' if count == 1 else 's'} ({_shown(labels)}); expected "
        f"{_choices(count)}"
    )


def _index(asked: str, labels: Sequence[str]) -> int | None:
    if asked in labels:
        return labels.index(asked)
    return int(asked) if asked.isdecimal() and int(asked) < len(labels) else None


def _better_class(labels: Sequence[str]) -> int | None:
    """The index of the label of good responses; None if the labels are not a known pair."""
    plain = tuple(label.strip().lower().replace("_", "-") for label in labels)
    return next((1 if plain == pair else 0 for pair in _OPPOSITES if plain in (pair, pair[::-1])), None)


def _mean(count: int) -> tuple[float, ...]:
    return (1 / count,) * count


def _difference(better: int) -> tuple[float, ...]:
    return (-1.0, 1.0) if better == 1 else (1.0, -1.0)


def _choices(count: int) -> str:
    difference = ", or difference" if count == 2 else ""
    return f"an index from 0 to {count - 1}, a label, mean{difference}" if count > 1 else "0, or leave it out"


def _shown(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    return shown if len(shown) <= 200 else shown[:197] + "..."
