"""Least recently used first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LRU:
    """The chunk that has rested longest goes first."""

    def __init__(self, slots: int) -> None:
        del slots  # any number
        self._resting: OrderedDict[int, None] = OrderedDict()

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Nothing: what a request uses is pinned for it."""

    def add(self, slot: int, key: str, after: int | None) -> None:
        """Nothing, until it rests."""

    def rest(self, slot: int) -> None:
        """Last in the line from now on."""
        self._resting[slot] = None

    def use(self, slot: int) -> None:
        """Out of the line."""
        del self._resting[slot]

    def evict(self) -> int | None:
        """The first in the line."""
        return self._resting.popitem(last=False)[0] if self._resting else None

    def chance(self, key: str) -> float:
        """Not learned."""
        return 1.0

    def drop(self, slot: int) -> None:
        """Out of the line, if it is there."""
        self._resting.pop(slot, None)
