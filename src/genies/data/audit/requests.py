"""Labels that contradict prompts: the prompt asks for a form that can be checked, and the best response lacks it.

Most requests in prompts cannot be checked by a rule. Some forms can: all capitals, periods, commas, words that begin
or end with a capital. If a prompt contains exactly one such request, or forbids the form, it is measured in all
responses (share of capitals, number of periods ...). The label contradicts the prompt if the best response has
strictly less of the requested form than every worse one, and agrees if it has strictly more. Otherwise the example is
undecided. Text after "if you" is a condition, not a request: "If you use all caps, you will receive $100, but please
don't use all caps" asks for no capitals.

Limits. Requests in other words or other languages, and requests about content, are not detected. A response can have
a form by accident, and a measure can be wrong ("PCB", a password). On consistent data this happens in less than one
example of a hundred, so contradictions are a defect only above TOLERATED_SHARE.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from genies.data.audit.finding import Content, Finding, Rule
from genies.data.conversation import text_only
from genies.data.distribution import Example

TOLERATED_SHARE = 0.05
"""Share of the decided examples that may contradict their prompts without a finding."""


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
"""Requests, as regular expressions, and how far a response fulfils each; None if this cannot be measured."""

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
    """One finding if labels contradict prompts in more than TOLERATED_SHARE of the decided examples."""
    verdicts = {position: contradicts(example) for position, example in enumerate(content.both())}
    decided = [position for position, verdict in verdicts.items() if verdict is not None]
    against = [position for position in decided if verdicts[position]]
    if len(against) <= TOLERATED_SHARE * len(decided):
        return []
    return content.finding(Rule.LABEL_AGAINST_PROMPT, "train+test", against, len(decided))


def contradicts(example: Example) -> bool | None:
    """Whether the label contradicts the request in the prompt; None if undecided."""
    asked = {
        (measure, match["negation"] is None)
        for pattern, measure in _REQUESTS
        for match in pattern.finditer(text_only(example.prompt))
        if match["condition"] is None
    }
    if len(asked) != 1:
        return None
    ((measure, wanted),) = asked
    measured = [measure(response) for response in example.responses]
    degrees = [degree if wanted else -degree for degree in measured if degree is not None]
    if len(degrees) < len(measured):
        return None
    best = [degrees[place] for place in example.best]
    worse = [degrees[place] for place in example.worse]
    if not worse:
        return None
    if max(best) < min(worse):
        return True
    return False if min(best) > max(worse) else None
