"""Places in a network where activations are read. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SiteKind = Literal["heads", "blocks"]


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the network where an activation is read."""

    block: int
    head: int | None = None
    """An attention head (its input to the output projection); None for the hidden state after the block."""
