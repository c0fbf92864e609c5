"""Sums, and questions whose intuitive answer is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from genies.data.starter.questions import Question, Splits, first_distinct, near_numbers, stream

_WRONG_NUMBERS = 2


def sums() -> Splits:
    """Additions, subtractions, products and unit conversions with numbers."""
    return first_distinct(_sums(stream("starter_sums")))


def trick_questions() -> Splits:
    """Questions with an intuitive wrong answer and the true one."""
    return first_distinct(_tricks(stream("starter_trick_questions")))


# Each kind of sum returns its text, its result and the unit by which wrong numbers differ from the result. A product
# is a multiple of its factors, so wrong numbers must be multiples too; otherwise divisibility reveals the result.


def _sums(draw: Random) -> Iterator[Question]:
    while True:
        for kind in (_addition, _subtraction, _product, _unit):
            yield _with_wrong_numbers(*kind(draw), draw)


def _with_wrong_numbers(text: str, result: int, unit: int, draw: Random) -> Question:
    wrong = near_numbers(result // unit, _WRONG_NUMBERS, draw)
    return Question(text, str(result), tuple(str(number * unit) for number in wrong))


def _addition(draw: Random) -> tuple[str, int, int]:
    first, second = draw.randint(3, 30), draw.randint(3, 30)
    return f"What is {first} + {second}?", first + second, 1


def _subtraction(draw: Random) -> tuple[str, int, int]:
    result, second = draw.randint(6, 30), draw.randint(3, 30)
    return f"What is {result + second} - {second}?", result, 1


def _product(draw: Random) -> tuple[str, int, int]:
    first, second = draw.randint(6, 15), draw.randint(2, 12)
    return f"What is {first} x {second}?", first * second, second


def _unit(draw: Random) -> tuple[str, int, int]:
    small, large, size = draw.choice(
        (
            ("days", "weeks", 7),
            ("months", "years", 12),
            ("hours", "days", 24),
            ("minutes", "hours", 60),
            ("millimetres", "centimetres", 10),
            ("centimetres", "metres", 100),
            ("eggs", "dozen", 12),
            ("inches", "feet", 12),
            ("feet", "yards", 3),
            ("grams", "kilograms", 1000),
        )
    )
    number = draw.randint(6, 20)
    return f"How many {small} are in {number} {large}?", number * size, size


def _tricks(draw: Random) -> Iterator[Question]:
    # In half of the kinds the true answer is below the intuitive one, in the other half above it.
    while True:
        for kind in (_cheaper, _dearer, _machines, _cheaper, _growth, _fewer_machines):
            text, right, tempting = kind(draw)
            yield Question(text, right, (tempting,))


_PURCHASES = (("bat", "ball"), ("cup", "saucer"), ("lamp", "bulb"), ("shirt", "tie"), ("cake", "candle"))


def _purchase(draw: Random) -> tuple[str, str, str, int, int]:
    dear, cheap = draw.choice(_PURCHASES)
    price, more = draw.randint(2, 30), draw.randint(5, 60)
    text = (
        f"A {dear} and a {cheap} cost {2 * price + more} dollars together. "
        f"The {dear} costs {more} dollars more than the {cheap}. "
    )
    return text, dear, cheap, price, more


def _cheaper(draw: Random) -> tuple[str, str, str]:
    text, _, cheap, price, _ = _purchase(draw)
    return f"{text}How many dollars does the {cheap} cost?", str(price), str(2 * price)


def _dearer(draw: Random) -> tuple[str, str, str]:
    text, dear, _, price, more = _purchase(draw)
    return f"{text}How many dollars does the {dear} cost?", str(price + more), str(more)


def _machines(draw: Random) -> tuple[str, str, str]:
    few = draw.randint(2, 30)
    return _same_time(few, draw.randint(2 * few, 60), draw)


def _fewer_machines(draw: Random) -> tuple[str, str, str]:
    few = draw.randint(2, 30)
    return _same_time(draw.randint(2 * few, 60), few, draw)


def _same_time(first: int, second: int, draw: Random) -> tuple[str, str, str]:
    workers, verb, things = draw.choice(
        (
            ("machines", "make", "toys"),
            ("cats", "catch", "mice"),
            ("cooks", "make", "pies"),
            ("printers", "print", "posters"),
        )
    )
    return (
        f"{first} {workers} need {first} minutes to {verb} {first} {things}. "
        f"How many minutes do {second} {workers} need to {verb} {second} {things}?",
        str(first),
        str(second),
    )


def _growth(draw: Random) -> tuple[str, str, str]:
    plants, water = draw.choice(
        (("Water lilies", "pond"), ("Algae", "tank"), ("Weeds", "lake"), ("Duckweed plants", "pool"))
    )
    part, halvings = draw.choice((("half", 1), ("a quarter", 2)))
    days = 4 * draw.randint(3, 16)
    return (
        f"{plants} double in area every day and cover the whole {water} after {days} days. "
        f"After how many days do they cover {part} of the {water}?",
        str(days - halvings),
        str(days // (2 * halvings)),
    )
