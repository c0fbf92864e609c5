"""Transformations of prompts and responses that do not change which response is best.

They make a probing target of any distribution: a reward model that prefers the same responses before and after does
not depend on what a transformation changes (after Wu et al. 2025, reWordBench, arXiv 2503.11751). They are
deterministic and depend on nothing but the example.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genies.data.conversation import Prompt, as_json
from genies.data.distribution import Example


@dataclass(frozen=True)
class Transformation:
    """One transformation of examples."""

    summary: str
    responses: Callable[[Example], list[str]] | None = None
    """The new responses in file order; None if they stay."""
    prompt: Callable[[str], str] | None = None
    """The new text of the prompt, or of the last message of a conversation; None if it stays."""
    order: bool = False
    """Whether the responses change places."""


def _each(change: Callable[[str], str]) -> Callable[[Example], list[str]]:
    return lambda example: [change(text) for text in example.responses]


def typos(text: str) -> str:
    """Two neighbouring letters change places in one of ten words with at least four letters, at least in one.

    >>> typos("The capital of France is Paris.")
    'The capital of France is Pairs.'
    """
    draw = random.Random(f"typos {text}")
    words = re.split(r"(\s+)", text)
    long = [place for place, word in enumerate(words) if sum(map(str.isalpha, word)) >= 4]
    for place in draw.sample(long, min(len(long), max(1, len(long) // 10))):
        word = words[place]
        swaps = [
            at for at in range(1, len(word) - 1)
            if word[at].isalpha() and word[at + 1].isalpha() and word[at] != word[at + 1]
        ]  # fmt: skip
        if swaps:
            at = draw.choice(swaps)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return "".join(words)


def in_quotes(text: str) -> str:
    """The text in quotation marks."""
    return f'"{text.strip()}"'


_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def as_list(text: str) -> str:
    r"""The sentences of the text as a Markdown list.

    >>> as_list("It is warm. Water boils.")
    '- It is warm.\n- Water boils.'
    """
    return "\n".join(f"- {sentence}" for sentence in _SENTENCE.split(text.strip()) if sentence)


_PADDING = (
    "Please let me know if there is anything else that I can do for you.",
    "I hope that this is of some help.",
    "Feel free to ask further questions at any time.",
    "It is always a pleasure to answer.",
)


def _padded(example: Example) -> list[str]:
    """Polite sentences after every worse response, until it is longer than the longest best one."""
    longest = max(len(text) for text in example.best_responses)
    found = []
    for place, text in enumerate(example.responses):
        added = 0
        while place not in example.best and (not added or len(text) <= 1.2 * longest):
            end = "" if text.rstrip().endswith((".", "!", "?")) else "."
            text = f"{text.rstrip()}{end} {_PADDING[added % len(_PADDING)]}"
            added += 1
        found.append(text)
    return found


def _shortened(example: Example) -> list[str]:
    """The best responses without the last half of their sentences; at least one remains."""

    def shorter(text: str) -> str:
        sentences = _SENTENCE.split(text)
        return " ".join(sentences[: max(1, (len(sentences) + 1) // 2)])

    return [shorter(text) if place in example.best else text for place, text in enumerate(example.responses)]


def _doubled_spaces(text: str) -> str:
    return text.replace(" ", "  ")


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "upper_case": Transformation("all responses in capitals", _each(str.upper)),
    "lower_case": Transformation("all responses in small letters", _each(str.lower)),
    "typos": Transformation("letters change places in a tenth of the words of all responses", _each(typos)),
    "quotes": Transformation("all responses in quotation marks", _each(in_quotes)),
    "markdown": Transformation("the sentences of all responses as a Markdown list", _each(as_list)),
    "pad_worse": Transformation("polite sentences make the worse responses longer than the best", _padded),
    "shorten_best": Transformation("the best responses lose the last half of their sentences", _shortened),
    "prompt_upper_case": Transformation("the prompt in capitals", prompt=str.upper),
    "prompt_typos": Transformation("letters change places in a tenth of the prompt's words", prompt=typos),
    "prompt_white_space": Transformation("spaces of the prompt are doubled", prompt=_doubled_spaces),
    "shuffle_order": Transformation("responses change places in the file, which no scorer should see", order=True),
}
"""By the name of --name."""


def transformed(example: Example, name: str) -> dict[str, Any] | None:
    """The example as an entry of a split, after the transformation `name`; None if two of its responses are then equal.

    The wrapper around an instruction stays as it is.
    """
    how = TRANSFORMATIONS[name]
    texts = list(example.responses) if how.responses is None else how.responses(example)
    if len(set(texts)) < len(texts):
        return None
    places = list(range(len(texts)))
    if how.order:
        random.Random(f"order {example.index} {example.responses[0]}").shuffle(places)
    prompt = example.prompt if how.prompt is None else _changed(example, how.prompt)
    return {
        "prompt": as_json(prompt),
        "responses": {texts[place]: float(place in example.best) for place in places},
        **({} if example.id is None else {"id": example.id}),
        **({} if example.styles is None else {"styles": [example.styles[place] for place in places]}),
        "example": example.index,
    }


def _changed(example: Example, change: Callable[[str], str]) -> Prompt:
    if not isinstance(example.prompt, str):
        *earlier, last = example.prompt
        return (*earlier, last._replace(content=change(last.content)))
    message, _ = example.user_message
    before, found, after = example.prompt.rpartition(message)
    return before + change(message) + after if found else change(example.prompt)


def transform_split(examples: Sequence[Example], name: str) -> tuple[list[dict[str, Any]], int]:
    """The transformed examples, and the number of those left out because their responses became equal."""
    found = [transformed(example, name) for example in examples]
    kept = [each for each in found if each is not None]
    return kept, len(found) - len(kept)
