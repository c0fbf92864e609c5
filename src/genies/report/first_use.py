"""A mapping and a sequence whose values are computed on first use, so that a table computes only what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar, overload

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


class ListOnFirstUse(Sequence[V]):
    """The values of some functions, in order, each called once.

    >>> squares = ListOnFirstUse([lambda: 4, lambda: 9])
    >>> squares[1], list(squares), squares == [4, 9]
    (9, [4, 9], True)
    """

    def __init__(self, compute: Iterable[Callable[[], V]]) -> None:
        self._compute = [cache(each) for each in compute]

    @overload
    def __getitem__(self, place: int) -> V: ...
    @overload
    def __getitem__(self, place: slice) -> list[V]: ...
    def __getitem__(self, place: int | slice) -> V | list[V]:
        if isinstance(place, slice):
            return [each() for each in self._compute[place]]
        return self._compute[place]()

    def __len__(self) -> int:
        return len(self._compute)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
