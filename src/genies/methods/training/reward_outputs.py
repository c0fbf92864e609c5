"""How one reward comes from a head with several outputs: a weight for each, by the head's labels or as asked for."""

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
"""Labels of two classes of which the second is the one a good response belongs to."""

_RELEASE_LORA = {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1}
_RELEASE_MODULES = (["q_proj", "v_proj"], ["query_key_value"])
_RELEASE_VIRTUAL_TOKENS = 10


@dataclass(frozen=True)
class RewardOutputs:
    """A reward as the sum of weighted outputs."""

    weights: tuple[float, ...]
    """One for each output of the head."""
    assumption: str | None = None
    """What was taken for granted in choosing them; None where nothing was."""


ONE = RewardOutputs((1.0,))
"""A head with one output, which is the reward."""


def choose_outputs(asked: str | None, labels: Sequence[str], name: str, of_release: bool = False) -> RewardOutputs:
    """The reward of a head with an output for each of `labels`; `name` is the model's in messages.

    asked: a label, the index of an output, mean, or difference: of two outputs, that of the class of good responses,
    by its label or else the second, minus the other. None leaves it to the labels: one output is the reward, of two
    with opposite labels it is the difference, and with `of_release`, an adapter of the 2023 release, the mean. Raises
    InputError where none of these holds, and for an output that is not there.
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
        f"{name} has {count} outputs ({_shown(labels)}), and nothing says how a reward comes from them; name it with "
        f"--reward_output: {_choices(count)}"
    )


def is_of_release(config: Mapping[str, Any], outputs: int) -> bool:
    """Whether an adapter's configuration is one of the 2023 release, which trained heads with two outputs."""
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
    """Which of two labels is that of good responses; None where they do not say so."""
    plain = tuple(label.strip().lower().replace("_", "-") for label in labels)
    return next((1 if plain == pair else 0 for pair in _OPPOSITES if plain in (pair, pair[::-1])), None)


def _mean(count: int) -> tuple[float, ...]:
    return (1 / count,) * count


def _difference(better: int) -> tuple[float, ...]:
    return (-1.0, 1.0) if better == 1 else (1.0, -1.0)


def _choices(count: int) -> str:
    difference = ", or difference" if count == 2 else ""
    return f"an index from 0 to {count - 1}, a label, mean{difference}" if count > 1 else "0 or nothing"


def _shown(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    return shown if len(shown) <= 200 else shown[:197] + "..."
