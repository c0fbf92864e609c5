"""Questions with one best answer, in two splits: the output of all generators of the starter suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

SEED = 2311
"""Seed of the whole suite. Each distribution has its own random stream, derived from its name."""

TRAIN_SIZE = 200
TEST_SIZE = 100


@dataclass(frozen=True, slots=True)
class Question:
    """An instruction, its best answer and the worse ones."""

    text: str
    best: str
    worse: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Splits:
    """The questions of train.json and of test.json."""

    train: list[Question]
    test: list[Question]


def stream(name: str) -> Random:
    """A random generator that depends only on the suite's seed and on `name`."""
    return Random(f"{SEED}/{name}")


def first_distinct(questions: Iterator[Question]) -> Splits:
    """Both splits from an endless stream. Repeated instructions are skipped, so none is in both splits."""
    distinct: dict[str, Question] = {}
    while len(distinct) < TRAIN_SIZE + TEST_SIZE:
        question = next(questions)
        distinct.setdefault(question.text, question)
    chosen = list(distinct.values())
    return Splits(chosen[:TRAIN_SIZE], chosen[TRAIN_SIZE:])


def exchanged(answers: Sequence[str], count: int, draw: Random) -> list[tuple[str, ...]]:
    """For each answer, `count` other ones, so that each text is a wrong answer `count` times as often as a right one.

    A scorer that sees responses but not the prompt then learns nothing. Equal answers are placed next to each other,
    in random order of blocks, and the row is rotated by the size of its largest block, once for each wrong answer.
    """
    sizes = Counter(answers)
    step = max(sizes.values())
    if step * (count + 1) > len(answers):
        raise ValueError(f"{step} of {len(answers)} answers are equal: too many to exchange {count} for each")
    blocks = list(sizes)
    draw.shuffle(blocks)
    order = list(range(len(answers)))
    draw.shuffle(order)
    order.sort(key=lambda index: blocks.index(answers[index]))
    worse: list[tuple[str, ...]] = [()] * len(answers)
    for place, index in enumerate(order):
        others = (order[(place + step * turn) % len(order)] for turn in range(1, count + 1))
        worse[index] = tuple(answers[other] for other in others)
    return worse


def near_numbers(right: int, count: int, draw: Random) -> tuple[int, ...]:
    """`count` wrong numbers at most five away from `right`. The number of larger ones is uniformly random."""
    larger = draw.randrange(count + 1)
    steps = draw.sample(range(1, 6), count)
    return tuple(right + step if place < larger else right - step for place, step in enumerate(steps))
