"""Text from data, files and steps on its way to a terminal, which would obey the control codes in it."""

from __future__ import annotations

import io
import re

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # but tab, line end and carriage return, which progress bars use
    r"\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # line ends, and marks that turn text around
    r"\ud800-\udfff]"  # halves of characters
)


def without_controls(text: str) -> str:
    r"""Text with its control codes written as escapes, so that it moves no cursor and sets no title or clipboard.

    Tab, line end and carriage return stay.

    >>> print(without_controls("\x1b]0;title\x07 is text, räven too"))
    \x1b]0;title\x07 is text, räven too
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class Screen(io.TextIOWrapper):
    """A text stream over the file of another one, on which control codes are written as escapes.

    A folder name may hold bytes that are no text: those are written as escapes as well.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self._stream = stream  # which closes the file when nothing refers to it any more

    def write(self, text: str) -> int:
        super().write(without_controls(text))
        return len(text)
