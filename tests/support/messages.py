"""Messages compared by their facts."""

from __future__ import annotations


def states(message: str, facts: str) -> bool:
    """Whether a message contains these facts in this order: names, values, paths, separated by ` ... `.

    The words between them may change. `states("--count: expected a whole number, got 'x'", "--count ... 'x'")` is true.
    """
    start = 0
    for fact in facts.split(" ... "):
        found = message.find(fact, start)
        if found < 0:
            return False
        start = found + len(fact)
    return True
