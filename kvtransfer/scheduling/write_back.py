"""Write-back: which chunks are dirty, and when they are flushed to the store. Pure.

A dirty chunk is one that no store was given. It is flushed as it leaves host memory, or at the
end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvtransfer.scheduling.index import Index


class WriteBack:
    """The dirty chunks in the slots of ``index``.

    Args:
        index: which chunk is where.
        margin: slots to keep free by flushing what leaves them; 0: chunks are put when saved, and
            none is ever dirty.
        admit_chance: a chunk that leaves is flushed only if the chance that it is asked for again
            is at least this.
    """

    def __init__(self, index: Index, margin: int, admit_chance: float) -> None:
        self._index = index
        self._margin = margin
        self._admit_chance = admit_chance
        self._dirty: dict[int, str] = {}
        """Keys by slot."""
        self._lost = 0

    @property
    def is_on(self) -> bool:
        """Whether saved chunks are dirty, rather than put at once."""
        return self._margin > 0

    def is_dirty(self, slot: int) -> bool:
        """Whether no store was given what ``slot`` holds."""
        return slot in self._dirty

    def note_claimed(self, slots: Iterable[int]) -> None:
        """Other chunks take ``slots``: what was dirty there is lost."""
        if self._dirty:
            self._lost += sum(self._dirty.pop(slot, None) is not None for slot in slots)

    def mark_dirty(self, slots: Sequence[int], keys: Iterable[str]) -> None:
        """``slots`` hold ``keys``, which no store was given."""
        self._dirty.update(zip(slots, keys, strict=False))

    def discard(self, slot: int) -> None:
        """The bytes of ``slot`` are no good: don't flush them."""
        self._dirty.pop(slot, None)

    def take_lost(self) -> int:
        """How many dirty chunks were never flushed since the last call: room was needed at once."""
        taken, self._lost = self._lost, 0
        return taken

    def flush_leaving(self, flushing: int) -> list[tuple[int, str]]:
        """Evict chunks until ``margin`` slots are free or will be; ``flushing`` slots already are.

        Those of tenants near their quotas leave too. A chunk that is evicted is found neither here nor, until it is put, in the store.

        Returns:
            Slots, pinned until they are put, and the keys to put them as.
        """
        flushes: list[tuple[int, str]] = []
        while self._index.free + flushing + len(flushes) < self._margin and self._index.room > 0:
            evicted = self._index.evict_pinned()
            if evicted is None:
                break
            self._leave(evicted, flushes)
        while self.is_on and (evicted := self._index.evict_ahead()) is not None:
            self._leave(evicted, flushes)
        return flushes

    def flush_rest(self, most: int) -> list[tuple[int, str]]:
        """At most ``most`` of the dirty chunks that host memory still holds, as ``flush_leaving``."""
        left = [(slot, key) for slot, key in self._dirty.items() if self._index.holds(slot, key)]
        flushes = left[:most]
        for slot, key in flushes:
            del self._dirty[slot]
            self._index.pin(key)
        return flushes

    def _leave(self, evicted: tuple[int, str], flushes: list[tuple[int, str]]) -> None:
        """Add what was ``evicted`` to ``flushes`` if it is dirty and worth that; else let it go."""
        slot, key = evicted
        if self._dirty.pop(slot, None) == key and self._is_worth_it(key):
            flushes.append(evicted)
        else:
            self._index.unpin(slot)

    def _is_worth_it(self, key: str) -> bool:
        return self._index.chance(key) >= self._admit_chance
