"""Evicts the least recently used chunk."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class LRU:
    """Evicts the chunk that was unpinned longest ago."""

    def __init__(self, slots: int) -> None:
        del slots  # any number
        self._idle: OrderedDict[int, None] = OrderedDict()

    def resize(self, slots: int) -> None:
        """Do nothing: any number of slots is alike."""

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Do nothing: a request pins what it uses."""

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Do nothing until the slots are unpinned."""

    def unpin(self, slots: Iterable[int]) -> None:
        """Append the slots to the queue."""
        self._idle.update(dict.fromkeys(slots))

    def pin(self, slots: Sequence[int]) -> None:
        """Take the slots out of the queue."""
        for slot in slots:
            del self._idle[slot]

    def evict(self, most: int) -> list[int]:
        """Evict the head of the queue."""
        evicted = list(islice(self._idle, most))
        self.pin(evicted)
        return evicted

    def chance(self, key: str) -> float:
        """1: LRU learns none."""
        return 1.0

    def remove(self, slot: int) -> None:
        """Take the slot out of the queue, if it is there."""
        self._idle.pop(slot, None)
