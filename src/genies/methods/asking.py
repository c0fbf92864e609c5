"""Asking a person in a terminal which response is best, with answers kept so that a later run goes on from there."""

from __future__ import annotations

import json
import random
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genies.contract import EvaluationArguments, evaluation_items
from genies.data.distribution import Distribution, Example
from genies.errors import InputError
from genies.files import read_json, sha256_of_file, write_json

HELP = (
    "Type the number of the best response, or several, best first (such as 2 1 3): those you leave out come after, "
    "as equals. p passes, q quits and keeps the answers."
)

# Embeddings, overrides and isolates of writing direction: they reorder what stands around them.
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_terminal(args: EvaluationArguments) -> None:
    """InputError that tells how to run eval.py by hand when no person can see what it shows and type an answer."""
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        return
    folders = [str(folder) for folder in args.distribution_dirs]
    names = [f"{Distribution(folder).name}.human_eval.json" for folder in folders]
    options = {"max_examples": args.max_examples, "seed": args.seed or None}
    command = ["python", sys.argv[0], *evaluation_items(str(args.model_dir), folders, names, options)]
    raise InputError(
        "human_eval asks a person, and there is no terminal here (the harness gives a step none); "
        f"run it yourself in a terminal: {shlex.join(command)}"
    )


def printable(text: str) -> str:
    r"""Text that moves nothing on a terminal but its own lines: control characters are written as escapes.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(_printable(character) for character in text.replace("\r\n", "\n"))


def _printable(character: str) -> str:
    if character in "\n\t":
        return character
    control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return ascii(character)[1:-1] if control or character in _DIRECTION_MARKS else character


class Answers:
    """A person's answers for one distribution, kept beside the evaluation file until all of them are there.

    An answer ranks responses, best first, by their positions in the file; those not named come after, as equals, so
    that an empty answer is a pass.
    """

    def __init__(self, output_path: Path, distribution: Distribution) -> None:
        """Read what an earlier run left; InputError when that is damaged or belongs to other data."""
        self.path = output_path.parent / f".{output_path.name}.answers.json"
        self._data = sha256_of_file(distribution.folder / "test.json")
        self.rankings: dict[int, list[int]] = {}
        if not self.path.is_file():
            return
        value = read_json(self.path, "answers so far")
        try:
            data = value["test_sha256"]
            self.rankings = {int(index): list(map(int, ranking)) for index, ranking in value["rankings"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.path} is damaged ({error!r}); delete it to start anew") from None
        if data != self._data:
            raise InputError(
                f"{self.path} holds answers to another test.json than that in {distribution.folder}; "
                "delete it to start anew, or name another output path"
            )
        responses = {example.index: len(example.responses) for example in distribution.split("test")}
        for index, ranking in self.rankings.items():
            if len(set(ranking)) < len(ranking) or not set(ranking) <= set(range(responses.get(index, 0))):
                raise InputError(f"{self.path} is damaged (answer {ranking} to {index}); delete it to start anew")

    def keep(self, index: int, ranking: list[int]) -> None:
        """Store an answer at once."""
        self.rankings[index] = ranking
        write_json(self.path, {"test_sha256": self._data, "rankings": self.rankings})

    def forget(self) -> None:
        """Remove the file, when the evaluation it was for is written."""
        self.path.unlink(missing_ok=True)

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Probability of the best response in every pair: 1 where it was ranked higher, 0 where lower, else 1/2."""
        return np.array(
            [
                preference(self.rankings[example.index], example.best, worse)
                for example in examples
                for worse in range(len(example.responses))
                if worse != example.best
            ]
        )

    def passes(self, examples: Sequence[Example]) -> int:
        """How many of the examples were passed."""
        return sum(not self.rankings[example.index] for example in examples)


def preference(ranking: Sequence[int], one: int, other: int) -> float:
    """1 when `one` stands before `other` in a ranking or alone, 0 the other way round, 1/2 when neither does.

    >>> preference([2, 0], 2, 0), preference([2, 0], 1, 0), preference([2, 0], 1, 3)
    (1.0, 0.0, 0.5)
    """
    first, second = (ranking.index(each) if each in ranking else len(ranking) for each in (one, other))
    return 0.5 + 0.5 * ((first < second) - (first > second))


def ask(title: str, examples: Sequence[Example], answers: Answers, seed: int) -> bool:
    """Ask for what is not answered yet; False when the person quits.

    Examples come in an order drawn with `seed`, their responses in one drawn with `seed` and the example's index.
    """
    order = random.Random(seed).sample(examples, len(examples))
    waiting = [example for example in order if example.index not in answers.rankings]
    if waiting:
        print(f"\n{printable(title)}: {len(waiting)} of {len(examples)} questions to go\n{HELP}")
    for place, example in enumerate(waiting, start=len(examples) - len(waiting) + 1):
        shown = random.Random(f"{seed} {example.index}").sample(range(len(example.responses)), len(example.responses))
        print(f"\n--- {place} of {len(examples)}\n{_indented(example.prompt)}")
        for number, position in enumerate(shown, start=1):
            print(f"[{number}]\n{_indented(example.responses[position])}")
        ranking = _answer(len(shown))
        if ranking is None:
            return False
        answers.keep(example.index, [shown[number - 1] for number in ranking])
    return True


def _indented(text: str) -> str:
    """Text with a margin, so that no line of it can pass for one of ours."""
    return "\n".join(f"  | {line}" for line in printable(text).split("\n"))


def _answer(count: int) -> list[int] | None:
    """Numbers from 1 to `count`, best first, none for a pass; None when the person quits."""
    while True:
        try:
            typed = input(f"best (1 to {count}, p, q)? ").strip().lower()
        except EOFError:
            return None
        if typed in ("q", "quit"):
            return None
        if typed in ("p", "pass"):
            return []
        ranking = parse_ranking(typed, count)
        if ranking:
            return ranking
        print(f"expected numbers from 1 to {count}, each once, or p or q; got {json.dumps(typed)}")


def parse_ranking(typed: str, count: int) -> list[int]:
    """Numbers from 1 to `count`, each once at most, separated by spaces or commas; empty when it is anything else.

    >>> parse_ranking("2, 1", 3), parse_ranking("4", 3), parse_ranking("1 1", 3)
    ([2, 1], [], [])
    """
    words = typed.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        return []
    numbers = [int(word) for word in words]
    return numbers if len(set(numbers)) == len(numbers) and all(1 <= each <= count for each in numbers) else []
