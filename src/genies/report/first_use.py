"""A mapping whose values are computed on first use, so that a table computes only what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class OnFirstUse(Mapping[K, V]):
    """The values of some keys, in order, each computed once.

    >>> squares = OnFirstUse([2, 3], lambda number: number**2)
    >>> squares[3], list(squares), squares.get(4)
    (9, [2, 3], None)
    """

    def __init__(self, keys: Iterable[K], compute: Callable[[K], V]) -> None:
        self._keys = dict.fromkeys(keys)
        self._compute = cache(compute)

    def __getitem__(self, key: K) -> V:
        if key not in self._keys:
            raise KeyError(key)
        return self._compute(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
