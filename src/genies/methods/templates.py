"""Templates around a prompt and its response, whose last token is read. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genies.data.conversation import Prompt
from genies.data.distribution import Pair


@dataclass(frozen=True, slots=True)
class Template:
    """The texts before a prompt, after its response and between the two.

    >>> Template("Listen. ", " Over.", " Answer:").wrap(Pair(0, "One and one is", " two.", " six."))
    Pair(example_index=0, prompt='Listen. One and one is Answer:', best=' two. Over.', worse=' six. Over.')

    In a conversation, `before` and `between` are written around the last message, which is the user's, and `after`
    after the response.
    """

    before: str = ""
    after: str = ""
    between: str = ""

    def wrap(self, pair: Pair) -> Pair:
        """The pair with the template around its texts. A wrapped pair is not marked, so wrap a pair only once."""
        if isinstance(pair.prompt, str):
            prompt: Prompt = self.before + pair.prompt + self.between
        else:
            *earlier, last = pair.prompt
            prompt = (*earlier, last._replace(content=self.before + last.content + self.between))
        return replace(pair, prompt=prompt, best=pair.best + self.after, worse=pair.worse + self.after)


Templates = Sequence[Template]
"""One template, or two that differ in one word, so that each response is read in two copies."""

Wording = Literal["default", "release_2023"]
"""The words of the templates: those of this project or of the 2023 release."""

PLAIN: Templates = (Template(),)

_CONSIDER = "Consider the extent to which the responder follows the instruction below.\n"
_PROBABILITY = "The probability that the responder followed the instruction"

STIMULUS: Templates = (Template(_CONSIDER, f"\n{_PROBABILITY}"),)
"""Asks about instruction following without giving an answer (Zou et al. 2023)."""

STIMULI: Mapping[Wording, Templates] = {
    "default": STIMULUS,
    "release_2023": (Template(between=_CONSIDER, after=f"\n\n{_PROBABILITY}"),),
}


def _yes_no(question: str, separator: str) -> Templates:
    return tuple(Template(after=f"{question}{separator}{answer}") for answer in ("Yes", "No"))


YES_NO: Templates = _yes_no("\n\nQuestion: Does the responder follow the instruction?\nAnswer:", " ")
"""Each response followed by the statement that it follows the instruction, and by the statement that it does not."""

QUESTIONS: Mapping[Wording, Templates] = {
    "default": YES_NO,
    "release_2023": _yes_no("\n\n### Does the responder successfully follow the instruction?", "\n"),
}


def both_responses(pairs: Sequence[Pair]) -> list[Pair]:
    r"""Pairs whose texts contain both responses: first the best one in one text, and the worse one in the other.

    >>> both_responses([Pair(0, "Which?", " This.", " That.")])[0].best
    '\n\n[Response A]\n This.\n\n[Response B]\n That.'
    """

    def text(first: str, second: str) -> str:
        return f"\n\n[Response A]\n{first}\n\n[Response B]\n{second}"

    return [replace(pair, best=text(pair.best, pair.worse), worse=text(pair.worse, pair.best)) for pair in pairs]
