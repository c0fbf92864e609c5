"""Texts around a prompt and its response, at whose last token activations are read. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genies.data.distribution import Pair


@dataclass(frozen=True, slots=True)
class Template:
    """What stands before a prompt and after its response.

    >>> Template("Listen. ", " Over.").wrap(Pair(0, "One and one is", " two.", " six."))
    Pair(example_index=0, prompt='Listen. One and one is', best=' two. Over.', worse=' six. Over.')
    """

    before: str = ""
    after: str = ""

    def wrap(self, pair: Pair) -> Pair:
        """The pair with its texts wrapped, which are to be wrapped once only: a wrapped pair looks like any other."""
        return Pair(pair.example_index, self.before + pair.prompt, pair.best + self.after, pair.worse + self.after)


Templates = Sequence[Template]
"""One template, or two that differ in one word: then a response stands in two copies."""

PLAIN: Templates = (Template(),)

STIMULUS: Templates = (
    Template(
        "Consider the extent to which the responder follows the instruction below.\n",
        "\nThe probability that the responder followed the instruction",
    ),
)
"""Asks about instruction-following without an answer, after Zou et al. 2023."""

_QUESTION = "\n\nQuestion: Does the responder follow the instruction?\nAnswer:"

YES_NO: Templates = (Template(after=f"{_QUESTION} Yes"), Template(after=f"{_QUESTION} No"))
"""Each response called one that follows the instruction, and one that does not."""
