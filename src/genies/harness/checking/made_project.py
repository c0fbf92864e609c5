"""The inputs of a checked intervention: a base model and small distributions, in two copies of the same content, one
with plain and one with awkward names."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genies.files import write_text
from genies.harness.checking.tiny_model import write_tiny_model

Role = Literal["source", "two", "target", "reordered", "malformed", "absent"]

EVALUATED: tuple[Role, ...] = ("two", "source", "target", "reordered")
"""The distributions of the main evaluation: one with two responses each; the source; another with 2 to 4 responses; and
the latter with the responses of each example in reverse order."""

_KINDS = {
    "an animal": ["fox", "heron", "otter", "mole", "wasp"],
    "a city": ["Zürich", "東京", "Málaga", "Ghent", "L'Aquila"],
    "a tool": ["a hammer", "pliers", "a spirit level", "a chisel", 'a 2" brush'],
    "a fruit": ["plum", "açaí", "quince", "pear", "fig"],
}
_TRAIN, _TEST = 24, 12


@dataclass(frozen=True)
class Copy:
    """One copy of the inputs of an intervention, and its output folder."""

    base_model: Path
    distributions: dict[Role, Path]
    outputs: Path
    """Parent of the output folders of the runs."""


@dataclass(frozen=True)
class MadeProject:
    """Folders below one temporary folder."""

    folder: Path
    plain: Copy
    awkward: Copy
    """The same with names that contain spaces, quotes, commas and letters of several scripts."""

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def scratch(self) -> Path:
        """The temporary folder of the scripts, to which they may write."""
        return self.folder / "tmp"


def make_project(folder: Path, base_model_dir: Path | None) -> MadeProject:
    """Make the folders, or restore them; `base_model_dir` replaces the generated model."""
    plain = _copy(folder / "plain", base_model_dir, "")
    awkward = _copy(folder / "it's a folder, größer 数", plain.base_model, " (é, 2)")
    project = MadeProject(folder, plain, awkward)
    project.logs.mkdir(exist_ok=True)
    project.scratch.mkdir(exist_ok=True)
    return project


def _copy(folder: Path, base_model_dir: Path | None, ending: str) -> Copy:
    folder.mkdir(parents=True, exist_ok=True)
    base_model = folder / f"base_model{ending}"
    if base_model_dir is None:
        write_tiny_model(base_model)
    elif not base_model.exists():
        base_model.unlink(missing_ok=True)
        base_model.symlink_to(base_model_dir)
    contents = {role: _as_text(examples) for role, examples in made_examples().items()}
    distributions: dict[Role, Path] = {}
    for role, (train, test) in contents.items():
        distributions[role] = folder / "distributions" / f"{role}{ending}"
        write_text(distributions[role] / "train.json", train, durable=False)
        write_text(distributions[role] / "test.json", test, durable=False)
    distributions["malformed"] = folder / "distributions" / f"malformed{ending}"
    for split, text in zip(("train", "test"), contents["two"], strict=True):
        write_text(distributions["malformed"] / f"{split}.json", text[: len(text) // 2], durable=False)
    distributions["absent"] = folder / "distributions" / f"absent{ending}"
    outputs = folder / f"outputs{ending}"
    outputs.mkdir(exist_ok=True)
    return Copy(base_model, distributions, outputs)


Example = dict[str, Any]
Split = list[Example]


def made_examples() -> dict[Role, tuple[Split, Split]]:
    """Train and test examples of every valid distribution."""
    target = _split(_named, _TRAIN, 5), _split(_named, _TEST, 6)
    return {
        "source": (_split(_kind, _TRAIN, 1), _split(_kind, _TEST, 2)),
        "two": (_split(_sum, _TRAIN, 3, most=2), _split(_sum, _TEST, 4, most=2)),
        "target": target,
        "reordered": (_reversed(target[0]), _reversed(target[1])),
    }


def _as_text(splits: tuple[Split, Split]) -> tuple[str, str]:
    train, test = (json.dumps(split, ensure_ascii=False, indent=1) for split in splits)
    return train, test


def _reversed(split: Split) -> Split:
    return [{**example, "responses": dict(reversed(example["responses"].items()))} for example in split]


def _split(make: Callable[[random.Random, int, int], Example], count: int, seed: int, most: int = 4) -> Split:
    draw = random.Random(seed)
    return [make(draw, number, 2 + number % (most - 1)) for number in range(count)]


def _kind(draw: random.Random, number: int, responses: int) -> Example:
    asked, *others = draw.sample(list(_KINDS), responses)
    texts = [draw.choice(_KINDS[kind]) for kind in (asked, *others)]
    return _example(draw, f"Question {number}: which of these is {asked}?\n", texts)


def _named(draw: random.Random, number: int, responses: int) -> Example:
    """The same words in other sentences, so that a model tuned on the source generalizes to the worse responses."""
    asked, *others = draw.sample(list(_KINDS), responses)
    texts = [f"That would be {draw.choice(_KINDS[kind])}." for kind in (asked, *others)]
    return _example(draw, f"{number}. Please name {asked}.\n", texts)


def _sum(draw: random.Random, number: int, responses: int) -> Example:
    first, second = draw.randint(2, 40), draw.randint(2, 40)
    wrong = draw.sample([offset for offset in range(-9, 10) if offset], responses - 1)
    texts = [f"{first} + {second} = {first + second + offset}." for offset in (0, *wrong)]
    return _example(draw, f"Question {number}: how much is {first} plus {second}?\n", texts)


def _example(draw: random.Random, prompt: str, texts: list[str]) -> Example:
    """An example with the best response, which is the first of `texts`, and the others. The best is first more often
    than last: otherwise a script that prefers a position would have the same accuracy for both orders."""
    place = 0 if draw.random() < 0.5 else draw.randrange(len(texts))
    ordered = texts[1:]
    ordered.insert(place, texts[0])
    return {"prompt": prompt, "responses": {text: float(text == texts[0]) for text in ordered}}
