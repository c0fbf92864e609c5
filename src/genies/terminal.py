"""Escape control codes in text from data, files and jobs before it is printed in a terminal."""

from __future__ import annotations

import io
import re

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # except tab, line end and carriage return, which progress bars use
    r"\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # line ends, and marks of text direction
    r"\ud800-\udfff]"  # halves of characters
)


def without_controls(text: str) -> str:
    r"""Text with control codes replaced by escapes, so that it cannot move the cursor or set the title or clipboard.

    Tab, line end and carriage return are kept.

    >>> print(without_controls("\x1b]0;title\x07 is text, räven too"))
    \x1b]0;title\x07 is text, räven too
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class Screen(io.TextIOWrapper):
    """A text stream on the file of another stream that writes control codes as escapes.

    Bytes that are not text, which folder names can contain, are also written as escapes.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self._stream = stream  # keeps a reference, because the stream closes the file when it is deleted

    def write(self, text: str) -> int:
        super().write(without_controls(text))
        return len(text)
