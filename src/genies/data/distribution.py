"""A distribution: a folder with train.json, test.json and metadata.json."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from genies.data.conversation import (
    Conversation,
    Message,
    Prompt,
    UserMessageOrigin,
    as_text,
    read_prompt,
    user_message,
)
from genies.errors import InputError
from genies.files import is_unicode, json_kind, read_json
from genies.shipped import or_shipped

SplitName = Literal["train", "test"]
Difficulty = Literal["easy", "normal", "hard"]
Sample = Literal["first", "seeded"]
"""Which examples remain under a limit: the first of the file, or a random sample drawn with the seed."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its responses in file order. At least one response is best."""

    index: int
    """Position in its split, from 0."""
    prompt: Prompt
    """A text, or a conversation that ends with the user's turn."""
    responses: tuple[str, ...]
    best: tuple[int, ...]
    """Positions of the best responses in `responses`, ascending. If all are best, the example is a tie: it has no
    pairs."""
    fields: tuple[str | None, str | None] = (None, None)
    """The fields `instruction` and `input` of the file, from which chat format can take the user's message."""
    id: str | None = None
    """The name of the example in the data that it comes from."""
    styles: tuple[int, ...] | None = None
    """How elaborate each response is, for pairs whose difficulty depends on style (RM-Bench): 0 is the plainest."""

    @property
    def prompt_text(self) -> str:
        """The prompt as one text, as raw format uses it."""
        return as_text(self.prompt)

    @property
    def user_message(self) -> tuple[str, UserMessageOrigin]:
        """The last message of the user in chat format, and how it was found."""
        if isinstance(self.prompt, str):
            return user_message(self.prompt, *self.fields)
        return self.prompt[-1].content, "conversation"

    @property
    def conversation(self) -> Conversation:
        """The prompt as a conversation, as chat format uses it."""
        if isinstance(self.prompt, str):
            return (Message("user", self.user_message[0]),)
        return self.prompt

    @property
    def best_responses(self) -> tuple[str, ...]:
        """In file order."""
        return tuple(self.responses[place] for place in self.best)

    @property
    def best_response(self) -> str:
        """The first best response, the only one in the official distributions."""
        return self.responses[self.best[0]]

    @property
    def worse(self) -> tuple[int, ...]:
        """Positions of the other responses, ascending."""
        return tuple(place for place in range(len(self.responses)) if place not in self.best)

    @property
    def worse_responses(self) -> tuple[str, ...]:
        """All but the best, in file order."""
        return tuple(self.responses[place] for place in self.worse)


@dataclass(frozen=True, slots=True)
class Pair:
    """A best response and a worse response of an example."""

    example_index: int
    prompt: Prompt
    best: str
    worse: str
    conversation: Conversation | None = field(default=None, compare=False, repr=False)
    """The prompt as chat format uses it (default: a prompt that is a text is the user's message)."""

    difficulty: Difficulty | None = field(default=None, compare=False, repr=False)
    """easy if the best response is the more elaborate one, normal if both have one style, hard otherwise; None without
    styles."""
    example_id: str | None = field(default=None, compare=False, repr=False)
    """The name of the example in the data that it comes from."""

    @property
    def prompt_text(self) -> str:
        """The prompt as one text, as raw format uses it."""
        return as_text(self.prompt)


class Distribution:
    """The distribution in `folder`. Its name is the folder's name; the id in metadata.json is ignored.

    A relative path that does not exist is looked up among the project's own files: distributions/starter_sums is
    available everywhere. A split is validated when it is read. Raises InputError with the file, the example and the
    field.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = or_shipped(Path(folder))
        if not self.folder.is_dir():
            raise InputError(
                f"distribution folder {self.folder} does not exist; "
                "expected a folder with train.json and test.json (python download_data.py downloads the official ones)"
            )
        self.name = self.folder.resolve().name if self.folder.name in ("", "..") else self.folder.name

    def __repr__(self) -> str:
        return f"Distribution({str(self.folder)!r})"

    @cached_property
    def train(self) -> list[Example]:
        """The examples of train.json, in file order."""
        path = self.folder / "train.json"
        if not path.exists() and (self.folder / "test.json").is_file():
            raise InputError(
                f"distribution file {path} does not exist; the source and the target reference of a shift need one "
                "(the target reference is the target, unless the shift names another as target_reference)"
            )
        return read_split(path)

    @cached_property
    def test(self) -> list[Example]:
        """The examples of test.json, in file order."""
        return read_split(self.folder / "test.json")

    def split(self, name: SplitName, max_examples: int | None = None) -> list[Example]:
        """The first `max_examples` examples of a split (all by default). Raises InputError if the split is empty."""
        examples = self.train if name == "train" else self.test
        if not examples:
            raise InputError(f"{self.folder / f'{name}.json'} has no examples; expected at least one")
        return examples if max_examples is None else examples[:max_examples]

    def training_sample(self, max_examples: int | None, sample: Sample, seed: int) -> list[Example]:
        """`max_examples` training examples (all by default) in file order: the first, or a random sample.

        Samples with the same `seed` are nested: a smaller one is a subset of a larger one. Raises InputError if the
        split is empty.
        """
        examples = self.split("train")
        if max_examples is None or sample == "first":
            return self.split("train", max_examples)
        order = list(range(len(examples)))
        random.Random(f"sample {seed}").shuffle(order)
        return [examples[place] for place in sorted(order[:max_examples])]

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The content of metadata.json, in which all keys are optional; empty if the file does not exist."""
        path = self.folder / "metadata.json"
        if not path.exists():
            return {}
        value = read_json(path, "metadata")
        if not isinstance(value, dict):
            raise InputError(f"metadata {path} contains {json_kind(value)}; expected an object")
        return value


def pairs(examples: Sequence[Example]) -> list[Pair]:
    """All (best, worse) pairs in example order; the responses of an example are in file order.

    An example with b best and w worse responses has b * w pairs. Evaluation scores all of them.
    """
    found = []
    for example in examples:
        conversation = example.conversation  # once for all pairs
        worse = example.worse
        found += [_pair(example, conversation, best, each) for best in example.best for each in worse]
    return found


def _pair(example: Example, conversation: Conversation, best: int, worse: int) -> Pair:
    texts = example.responses[best], example.responses[worse]
    difficulty = _difficulty(example.styles, best, worse)
    return Pair(example.index, example.prompt, *texts, conversation, difficulty, example.id)


def _difficulty(styles: tuple[int, ...] | None, best: int, worse: int) -> Difficulty | None:
    if styles is None:
        return None
    return "easy" if styles[best] > styles[worse] else "normal" if styles[best] == styles[worse] else "hard"


def one_pair_per_example(examples: Sequence[Example], seed: int) -> list[Pair]:
    """One pair for each example that is not a tie, with a best and a worse response drawn with `seed`. Training uses
    these pairs."""
    draw = random.Random(seed)
    found = []
    for example in examples:
        if example.worse:
            worse = draw.choice(example.worse)
            of_best = random.Random(f"best {seed} {example.index}")  # apart, so that draws with one best do not change
            found.append(_pair(example, example.conversation, of_best.choice(example.best), worse))
    return found


def read_split(path: Path) -> list[Example]:
    """The examples of one train.json or test.json. Raises InputError with the file, the example and the field."""
    value = read_json(path, "distribution file")
    if not isinstance(value, list):
        raise InputError(f"distribution file {path} contains {json_kind(value)}; expected a list of examples")
    return [read_example(item, index, path) for index, item in enumerate(value)]


def read_example(value: Any, index: int, path: Path) -> Example:
    """The example in one entry of a split. Raises InputError with the file, the example and the field."""

    def fault(field: str, expected: str) -> InputError:
        return InputError(f"{path}, example {index}, field {field}: {expected}")

    if not isinstance(value, dict):
        raise InputError(
            f"{path}, example {index}: expected an object with prompt and responses, got {json_kind(value)}"
        )
    if "prompt" not in value:
        raise fault("prompt", "expected text or a list of messages, got nothing")
    prompt = read_prompt(value["prompt"], lambda expected: fault("prompt", expected))
    responses = value.get("responses")
    if not isinstance(responses, dict):
        found = json_kind(responses) if "responses" in value else "nothing"
        raise fault("responses", f"expected an object {{response text: 1.0 or 0.0}}, got {found}")
    if len(responses) < 2:
        raise fault("responses", f"expected at least 2 responses, got {len(responses)}")
    for label in responses.values():
        if isinstance(label, bool) or not isinstance(label, int | float) or label not in (0, 1):
            raise fault("responses", f"expected every label to be 1.0 (best) or 0.0, got {label!r}")
    best = tuple(position for position, label in enumerate(responses.values()) if label == 1)
    if not best:
        raise fault("responses", "expected at least one best response (label 1.0), got 0")
    for response in responses:
        if not is_unicode(response):
            raise fault("responses", "contains half of a surrogate pair, which is not text; repair the file")
    instruction, further = (each if isinstance(each := value.get(n), str) else None for n in ("instruction", "input"))
    name = value.get("id")
    styles = _styles(value.get("styles"), len(responses), fault)
    fields = instruction, further
    return Example(index, prompt, tuple(responses), best, fields, name if isinstance(name, str) else None, styles)


def _styles(value: Any, count: int, fault: Callable[[str, str], InputError]) -> tuple[int, ...] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    if not whole or len(value) != count:
        raise fault("styles", f"expected one whole number for each of the {count} responses")
    return tuple(value)
