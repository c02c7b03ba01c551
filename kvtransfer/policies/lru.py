"""Least recently used first."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class LRU:
    """The chunk that has rested longest goes first."""

    def __init__(self, slots: int) -> None:
        del slots  # any number
        self._resting: OrderedDict[int, None] = OrderedDict()

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Nothing: what a request uses is pinned for it."""

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Nothing, until they rest."""

    def rest(self, slots: Iterable[int]) -> None:
        """Last in the line from now on."""
        self._resting.update(dict.fromkeys(slots))

    def use(self, slots: Sequence[int]) -> None:
        """Out of the line."""
        for slot in slots:
            del self._resting[slot]

    def evict(self, most: int) -> list[int]:
        """The first in the line."""
        evicted = list(islice(self._resting, most))
        self.use(evicted)
        return evicted

    def chance(self, key: str) -> float:
        """Not learned."""
        return 1.0

    def drop(self, slot: int) -> None:
        """Out of the line, if it is there."""
        self._resting.pop(slot, None)
