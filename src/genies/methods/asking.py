"""Ask a person in a terminal which response is best, and save the answers so that a later run can continue."""

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
    "Type the number of the best response, or a ranking, best first (for example 2 1 3): responses that you leave out "
    "share the last place. p passes on the question, q quits and saves the answers."
)

# Embeddings, overrides and isolates of the writing direction, which reorder the text around them.
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_terminal(args: EvaluationArguments) -> None:
    """Raise InputError, with a command to run by hand, unless standard input and output are a terminal."""
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        return
    folders = [str(folder) for folder in args.distribution_dirs]
    names = [f"{Distribution(folder).name}.human_eval.json" for folder in folders]
    options = {"max_examples": args.max_examples, "seed": args.seed or None}
    command = ["python", sys.argv[0], *evaluation_items(str(args.model_dir), folders, names, options)]
    raise InputError(
        "human_eval asks a person, but there is no terminal (the harness runs steps without one); "
        f"run it yourself in a terminal: {shlex.join(command)}"
    )


def printable(text: str) -> str:
    r"""Text that is safe to print in a terminal: control characters are written as escapes.

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
    """A person's answers for one distribution, saved beside the evaluation file until all evaluations are written.

    An answer is a ranking of response positions, best first. Responses that are not named share the last place, so an
    empty ranking is a pass.
    """

    def __init__(self, output_path: Path, distribution: Distribution) -> None:
        """Read the answers of an earlier run; InputError if they are damaged or belong to other data."""
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
            raise InputError(f"{self.path} is damaged ({error!r}); delete it to start again") from None
        if data != self._data:
            raise InputError(
                f"{self.path} contains answers to another test.json than that in {distribution.folder}; "
                "delete it to start again, or choose another output path"
            )
        responses = {example.index: len(example.responses) for example in distribution.split("test")}
        for index, ranking in self.rankings.items():
            if len(set(ranking)) < len(ranking) or not set(ranking) <= set(range(responses.get(index, 0))):
                raise InputError(f"{self.path} is damaged (answer {ranking} to {index}); delete it to start again")

    def keep(self, index: int, ranking: list[int]) -> None:
        """Save an answer immediately."""
        self.rankings[index] = ranking
        write_json(self.path, {"test_sha256": self._data, "rankings": self.rankings})

    def forget(self) -> None:
        """Delete the file of answers."""
        self.path.unlink(missing_ok=True)

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Probability of the best response in every pair: 1 if it is ranked higher, 0 if lower, else 1/2.

        The order is that of genies.data.distribution.pairs.
        """
        return np.array(
            [
                preference(self.rankings[example.index], best, worse)
                for example in examples
                for best in example.best
                for worse in example.worse
            ]
        )

    def passes(self, examples: Sequence[Example]) -> int:
        """The number of examples on which the person passed."""
        return sum(not self.rankings[example.index] for example in examples)


def preference(ranking: Sequence[int], one: int, other: int) -> float:
    """1 if the ranking prefers `one` to `other`, 0 if it prefers `other`, 1/2 if it contains neither.

    >>> preference([2, 0], 2, 0), preference([2, 0], 1, 0), preference([2, 0], 1, 3)
    (1.0, 0.0, 0.5)
    """
    first, second = (ranking.index(each) if each in ranking else len(ranking) for each in (one, other))
    return 0.5 + 0.5 * ((first < second) - (first > second))


def ask(title: str, examples: Sequence[Example], answers: Answers, seed: int) -> bool:
    """Ask the questions that have no answer yet; False if the person quits.

    The order of examples is drawn with `seed`, that of responses with `seed` and the example's index.
    """
    order = random.Random(seed).sample(examples, len(examples))
    waiting = [example for example in order if example.index not in answers.rankings]
    if waiting:
        print(f"\n{printable(title)}: {len(waiting)} of {len(examples)} questions are left\n{HELP}")
    for place, example in enumerate(waiting, start=len(examples) - len(waiting) + 1):
        shown = random.Random(f"{seed} {example.index}").sample(range(len(example.responses)), len(example.responses))
        print(f"\n--- {place} of {len(examples)}\n{_indented(example.prompt_text)}")
        for number, position in enumerate(shown, start=1):
            print(f"[{number}]\n{_indented(example.responses[position])}")
        ranking = _answer(len(shown))
        if ranking is None:
            return False
        answers.keep(example.index, [shown[number - 1] for number in ranking])
    return True


def _indented(text: str) -> str:
    """Text with a margin, which distinguishes it from lines of this program."""
    return "\n".join(f"  | {line}" for line in printable(text).split("\n"))


def _answer(count: int) -> list[int] | None:
    """Numbers from 1 to `count`, best first; empty for a pass, None if the person quits."""
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
    """Numbers from 1 to `count`, each at most once, separated by spaces or commas; empty for any other input.

    >>> parse_ranking("2, 1", 3), parse_ranking("4", 3), parse_ranking("1 1", 3)
    ([2, 1], [], [])
    """
    words = typed.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        return []
    numbers = [int(word) for word in words]
    return numbers if len(set(numbers)) == len(numbers) and all(1 <= each <= count for each in numbers) else []
