"""Labels against prompts: a prompt asks for a form that can be checked, and the best response is the one without it.

Most of what prompts ask for no rule can check. Form it can: all capitals, periods, commas, words that begin or end
with a capital. Of each example whose prompt makes exactly one such request, or forbids it, all responses are
measured (share of capitals, number of periods ...). The label contradicts the prompt when the best response has
strictly less of what was asked for than every worse one, agrees when it has strictly more, and is left undecided
otherwise. What stands behind "if you" is a condition, not a request: "If you use all caps, you will receive $100,
but please don't use all caps" asks for no capitals.

Limits. Requests in other words or other languages, and requests about content, are not seen. A response can keep
a form by accident and the measure can be misled ("PCB", a password), which on consistent data happens in less
than one example of a hundred; so contradictions count as a defect from TOLERATED_SHARE on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from genies.data.audit.finding import Content, Finding, Rule
from genies.data.distribution import Example

TOLERATED_SHARE = 0.05
"""Of the examples that can be decided, the share that may contradict their prompts without a finding."""


def _share_of_capitals(text: str) -> float | None:
    letters = [character for character in text if character.isalpha()]
    return _share([letter.isupper() for letter in letters])


def _share_of_words(text: str, position: int) -> float | None:
    words = ([character for character in word if character.isalpha()] for word in text.split())
    return _share([letters[position].isupper() for letters in words if letters])


def _share(holds: list[bool]) -> float | None:
    return sum(holds) / len(holds) if holds else None


MEASURES: dict[str, Callable[[str], float | None]] = {
    r"(?:use|using|write in|writing in) all caps": _share_of_capitals,
    r"(?:use|using) periods": lambda text: text.count("."),
    r"(?:use|using) commas": lambda text: text.count(","),
    r"capitaliz(?:e|ing) the first letter of (?:each|every) word": lambda text: _share_of_words(text, 0),
    r"capitaliz(?:e|ing) the last letter of (?:each|every) word": lambda text: _share_of_words(text, -1),
}
"""A request, as a regular expression, and how far a response fulfils it; None where it has nothing to go by."""

_REQUESTS = [
    (
        re.compile(
            r"\b(?P<condition>(?:if|when|whenever|unless|whether) (?:you|they) )?"
            rf"(?P<negation>(?:don['’]t|do not|never|avoid|without) )?{request}\b",
            re.IGNORECASE,
        ),
        measure,
    )
    for request, measure in MEASURES.items()
]


def label_against_prompt(content: Content) -> list[Finding]:
    """One finding where labels contradict the prompts in more than TOLERATED_SHARE of the decidable examples."""
    verdicts = {position: contradicts(example) for position, example in enumerate(content.both())}
    decided = [position for position, verdict in verdicts.items() if verdict is not None]
    against = [position for position in decided if verdicts[position]]
    if len(against) <= TOLERATED_SHARE * len(decided):
        return []
    return content.finding(Rule.LABEL_AGAINST_PROMPT, "train+test", against, len(decided))


def contradicts(example: Example) -> bool | None:
    """Whether the label goes against what the prompt asks for; None where that cannot be decided."""
    asked = {
        (measure, match["negation"] is None)
        for pattern, measure in _REQUESTS
        for match in pattern.finditer(example.prompt)
        if match["condition"] is None
    }
    if len(asked) != 1:
        return None
    ((measure, wanted),) = asked
    measured = [measure(response) for response in example.responses]
    degrees = [degree if wanted else -degree for degree in measured if degree is not None]
    if len(degrees) < len(measured):
        return None
    best = degrees[example.best]
    worse = degrees[: example.best] + degrees[example.best + 1 :]
    if best < min(worse):
        return True
    return False if best > max(worse) else None
