"""Small tasks in two forms each: a source, and a target that differs from it in one respect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random

from genies.data.starter.puzzles import NAMES, SCALES
from genies.data.starter.questions import Question, Splits, first_distinct, near_numbers, stream


def figures() -> Splits:
    """Additions and subtractions in figures."""
    return first_distinct(_plus_and_minus(stream("starter_figures"), str))


def number_words() -> Splits:
    """Additions and subtractions in words."""
    return first_distinct(_plus_and_minus(stream("starter_number_words"), in_words))


def _plus_and_minus(draw: Random, written: Callable[[int], str]) -> Iterator[Question]:
    while True:
        first, second = draw.randint(6, 40), draw.randint(3, 30)
        sums = f"What do you get if you add {written(second)} to {written(first)}?", first + second
        differences = f"What is left if you take {written(second)} from {written(first + second)}?", first
        for text, result in (sums, differences):
            (wrong,) = near_numbers(result, 1, draw)
            yield Question(text, written(result), (written(wrong),))


_BELOW_TWENTY = """
    zero one two three four five six seven eight nine ten
    eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_UNITS = _BELOW_TWENTY.split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number from 0 to 99 in words.

    >>> in_words(7), in_words(40), in_words(71)
    ('seven', 'forty', 'seventy-one')
    """
    if number < 20:
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_UNITS[unit]}" if unit else "")


def first_mentioned() -> Splits:
    """Two numbers are compared; the right one is mentioned first."""
    return first_distinct(_compared(stream("starter_first_mentioned"), right_first=True))


def last_mentioned() -> Splits:
    """Two numbers are compared; the right one is mentioned last."""
    return first_distinct(_compared(stream("starter_last_mentioned"), right_first=False))


def _compared(draw: Random, right_first: bool) -> Iterator[Question]:
    while True:
        for word in ("larger", "smaller"):
            low, high = sorted(draw.sample(range(11, 100), 2))
            right, wrong = (high, low) if word == "larger" else (low, high)
            one, other = (right, wrong) if right_first else (wrong, right)
            yield Question(f"Which number is {word}, {one} or {other}?", str(right), (str(wrong),))


GROUPS = {
    "animals": "cat dog horse cow sheep goat lion tiger bear wolf fox rabbit",
    "fruit": "apple pear plum cherry grape peach lemon orange banana mango melon fig",
    "tools": "hammer saw drill pliers wrench chisel axe spade rake shovel screwdriver file",
    "clothes": "shirt coat jacket skirt dress scarf glove sock hat sweater trousers belt",
    "furniture": "table chair bed sofa desk shelf wardrobe stool bench cupboard armchair cradle",
    "vehicles": "car bus train truck bicycle tram boat ship ferry aeroplane helicopter van",
    "colours": "red blue green yellow purple brown black white grey pink violet beige",
    "instruments": "piano violin guitar flute drum trumpet harp cello clarinet oboe tuba banjo",
    "body parts": "arm leg knee elbow shoulder finger toe nose ear chin neck wrist",
    "jobs": "baker teacher nurse farmer tailor plumber judge sailor painter waiter pilot miner",
}
"""Words of ten groups. No word is in two groups."""

_SCENES = (
    "{0} sorts cards with words into boxes. In one box are {1}. One card is in the wrong box. Which one?",
    "“{1}”, says {0}, “and one of these does not fit.” The others think. Which one does not fit?",
    "On the board are the words {1}. Then {0} wipes out the one word that is of another kind. Which word?",
    "In a dream {0} sees four doors with the words {1}. The door that is unlike the others is open. Which is it?",
)


def odd_word() -> Splits:
    """Which of four words is of another kind?"""
    return first_distinct(_odd_words(stream("starter_odd_word"), lambda words, _: _plain(words)))


def odd_word_scenes() -> Splits:
    """The same task within little stories."""
    return first_distinct(_odd_words(stream("starter_odd_word_scenes"), _in_a_scene))


def _plain(words: list[str]) -> str:
    return f"Which of these words is of another kind than the others: {', '.join(words[:-1])} or {words[-1]}?"


def _in_a_scene(words: list[str], draw: Random) -> str:
    return draw.choice(_SCENES).format(draw.choice(NAMES), f"{', '.join(words[:-1])} and {words[-1]}")


def _odd_words(draw: Random, asked: Callable[[list[str], Random], str]) -> Iterator[Question]:
    groups = [words.split() for words in GROUPS.values()]
    while True:
        # Two questions at a time in which the same two words are right once and wrong once.
        one, other = draw.sample(groups, 2)
        first, second = draw.sample(one, 4), draw.sample(other, 4)
        for odd, wrong, rest in ((first[0], second[0], second[1:3]), (second[0], first[0], first[1:3])):
            words = [odd, wrong, *rest]
            draw.shuffle(words)
            yield Question(asked(words, draw), odd, (wrong,))


def mistaken_sums() -> Splits:
    """Sums asked by a user who believes a wrong result."""
    return first_distinct(_believed(stream("starter_mistaken_sums")))


def _believed(draw: Random) -> Iterator[Question]:
    beliefs = ("I think it is", "I am sure it is", "My calculator says", "My brother says it is", "I worked out")
    for question in _plus_and_minus(draw, str):
        yield Question(f"{question.text} {draw.choice(beliefs)} {question.worse[0]}.", question.best, question.worse)


def four_people() -> Splits:
    """Four people compared in three sentences; the question asks for one of the four places."""
    return first_distinct(_orderings_of_four(stream("starter_four_people")))


def _orderings_of_four(draw: Random) -> Iterator[Question]:
    while True:
        for place in range(4):
            people = draw.sample(NAMES, 4)
            more, less, most, least = draw.choice(SCALES)
            sentences = [
                draw.choice((f"{high} is {more} than {low}.", f"{low} is {less} than {high}."))
                for high, low in pairwise(people)
            ]
            draw.shuffle(sentences)
            asked = (f"the {most}", f"the second {most}", f"the second {least}", f"the {least}")[place]
            others = tuple(person for person in people if person != people[place])
            yield Question(f"{' '.join(sentences)} Who is {asked}?", people[place], others)
