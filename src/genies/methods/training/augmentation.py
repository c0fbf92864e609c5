"""Training pairs with responses to other prompts, so that a reward depends on the prompt (Liu et al. 2024, arXiv
2409.13156). Imports no torch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from genies.data.distribution import Pair


def responses_to_other_prompts(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """For each pair, pairs with the two responses of another pair, drawn with `seed`.

    In the first list, the best response to the prompt is preferred to both responses to the other prompt. In the
    second list, the two responses to the other prompt are equally good, which is a tie. Pairs with the same prompt are
    not combined, nor are equal responses.

    >>> preferred, ties = responses_to_other_prompts([Pair(0, "2 + 2 =", " 4", " 5"), Pair(1, "Hi", "Hi!", "No.")], 0)
    >>> [(pair.prompt, pair.best, pair.worse) for pair in preferred if pair.example_index == 0]
    [('2 + 2 =', ' 4', 'Hi!'), ('2 + 2 =', ' 4', 'No.')]
    >>> [(pair.prompt, pair.best, pair.worse) for pair in ties if pair.example_index == 0]
    [('2 + 2 =', 'Hi!', 'No.')]
    """
    order = list(range(len(pairs)))
    random.Random(f"other prompts {seed}").shuffle(order)
    other = {place: order[(turn + 1) % len(order)] for turn, place in enumerate(order)}
    preferred, ties = [], []
    for place, pair in enumerate(pairs):
        given = pairs[other[place]]
        if given.prompt == pair.prompt:
            continue
        preferred += [replace(pair, worse=text) for text in (given.best, given.worse) if text != pair.best]
        ties.append(replace(pair, best=given.best, worse=given.worse))
    return preferred, ties
