"""The amount of text in a distribution, for estimates of time and cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genies.data.distribution import Distribution, SplitName
from genies.errors import InputError

CHARACTERS_PER_TOKEN = 4
"""Approximate value for English text and common tokenizers."""


@dataclass(frozen=True)
class Work:
    """The amount of data that jobs read."""

    examples: int = 0
    pairs: int = 0
    characters: int = 0
    """Of prompts and responses."""

    def __add__(self, other: Work) -> Work:
        return Work(self.examples + other.examples, self.pairs + other.pairs, self.characters + other.characters)


@cache
def split_work(folder: Path, split: SplitName, max_examples: int | None) -> Work:
    """The work of the first `max_examples` examples of a split; 0 if they cannot be read."""
    try:
        examples = Distribution(folder).split(split, max_examples)
    except (InputError, OSError):
        return Work()
    return Work(
        len(examples),
        sum(len(each.best) * len(each.worse) for each in examples),
        sum(len(each.prompt_text) + sum(map(len, each.responses)) for each in examples),
    )
