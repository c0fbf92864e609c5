"""Puzzles that are rare in books: ordering three people, and continuing a row of letters."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from string import ascii_uppercase

from genies.data.starter.questions import Question, Splits, first_distinct, stream

NAMES = ("Anna", "Bob", "Carl", "Dora", "Eric", "Fiona", "George", "Helen", "Ivan", "Julia", "Karl", "Laura")

SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
)


def ordering() -> Splits:
    """Three people compared in two sentences; who is first, last or in the middle?"""
    return first_distinct(_orderings(stream("starter_ordering")))


def letter_rows() -> Splits:
    """A row of letters that follows a rule, and four letters that might come next."""
    return first_distinct(_letter_rows(stream("starter_letter_rows")))


def _orderings(draw: Random) -> Iterator[Question]:
    while True:
        # Each of the three places is asked for equally often, because the person named twice is the middle one.
        for place in range(3):
            people = draw.sample(NAMES, 3)
            more, less, most, least = draw.choice(SCALES)
            sentences = [
                draw.choice((f"{high} is {more} than {low}.", f"{low} is {less} than {high}."))
                for high, low in ((people[0], people[1]), (people[1], people[2]))
            ]
            draw.shuffle(sentences)
            asked = (f"the {most}", f"neither the {most} nor the {least}", f"the {least}")[place]
            others = tuple(person for person in people if person != people[place])
            yield Question(f"{' '.join(sentences)} Who is {asked}?", people[place], others)


def _letter_rows(draw: Random) -> Iterator[Question]:
    while True:
        for rule in (_cycle, _steps, _mirrored, _from_both_ends):
            row = rule(draw)
            shown, following = row[:-1], row[-1]
            # Two of the four candidates are in the row and two are not, whichever is right.
            inside = draw.sample(sorted(set(shown) - {following}), 1 if following in shown else 2)
            outside = draw.sample(_nearest_outside(row), 3 - len(inside))
            yield Question(f"Which letter comes next?\n{' '.join(shown)}", following, (*inside, *outside))


def _nearest_outside(row: str) -> list[str]:
    """The six letters nearest to the last one of the row that are not in the row."""
    outside = [letter for letter in ascii_uppercase if letter not in row]
    return sorted(outside, key=lambda letter: abs(ord(letter) - ord(row[-1])))[:6]


def _cycle(draw: Random) -> str:
    letters = "".join(draw.sample(ascii_uppercase, draw.choice((3, 4))))
    return (letters * 3)[: draw.randint(7, 9)]


def _steps(draw: Random) -> str:
    step, length = draw.choice((1, 2, 3)), draw.choice((5, 6, 7))
    low = draw.randrange(26 - step * (length - 1))
    row = ascii_uppercase[low : low + step * length : step][:length]
    return draw.choice((row, row[::-1]))


def _mirrored(draw: Random) -> str:
    letters = draw.sample(ascii_uppercase, 4)
    return "".join((*letters, *reversed(letters)))


def _from_both_ends(draw: Random) -> str:
    low, length = draw.randrange(16), draw.randint(9, 11)
    letters = ascii_uppercase[low : low + length]
    return "".join(first + last for first, last in zip(letters, reversed(letters), strict=True))[: draw.randint(6, 9)]
