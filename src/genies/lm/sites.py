"""The places in a network where activations are read. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SiteKind = Literal["heads", "blocks"]

ReadAt = Literal["last_response", "end_of_text"]
"""The token whose activations represent a text: its last one, or the end-of-text token appended to it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the network where an activation is read."""

    block: int
    head: int | None = None
    """An attention head (its input to the output projection); None for the hidden state after the block."""

    @property
    def layer(self) -> Layer:
        """The layer that contains the site."""
        return Layer(self.block, "blocks" if self.head is None else "heads")


@dataclass(frozen=True, slots=True, order=True)
class Layer:
    """All sites of one kind in one block: every attention head, or the one hidden state after it."""

    block: int
    kind: SiteKind

    def __str__(self) -> str:
        return f"{self.kind}.{self.block}"


def all_layers(depth: int) -> list[Layer]:
    """Every layer of a network of `depth` blocks, in the order of the forward pass."""
    kinds: tuple[SiteKind, SiteKind] = ("heads", "blocks")
    return [Layer(block, kind) for block in range(depth) for kind in kinds]


def all_sites(depth: int, heads: int | Sequence[int], kind: SiteKind) -> list[Site]:
    """Every attention head, or every block, of a network of `depth` blocks, in order.

    heads: the number of heads in each block, or one number if it is the same in all blocks.
    """
    if kind == "blocks":
        return [Site(block) for block in range(depth)]
    counts = [heads] * depth if isinstance(heads, int) else heads
    return [Site(block, head) for block, count in enumerate(counts) for head in range(count)]
