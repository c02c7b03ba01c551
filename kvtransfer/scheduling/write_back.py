"""Write-back: which chunks are dirty, and when they are flushed to the store. Pure.

A dirty chunk is one that no store was given. It is flushed as it leaves host memory, or at the
end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.scheduling.life import Offered, longer

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
        self._dirty: dict[int, Offered] = {}
        """What each slot holds of them."""
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

    def mark_dirty(
        self, slots: Sequence[int], keys: Iterable[str], ttl_s: int | None = None
    ) -> None:
        """``slots`` hold ``keys``, which no store was given, and which may live there for ``ttl_s``."""
        offered = zip(slots, keys, strict=False)
        self._dirty.update((slot, Offered(slot, key, ttl_s)) for slot, key in offered)

    def touch(self, slot: int, ttl_s: int | None) -> None:
        """Another request has what ``slot`` holds: if dirty, it may live for ``ttl_s`` at least."""
        dirty = self._dirty.get(slot)
        if dirty is not None:
            self._dirty[slot] = dirty._replace(ttl_s=longer(dirty.ttl_s, ttl_s))

    def discard(self, slot: int) -> None:
        """The bytes of ``slot`` are no good: don't flush them."""
        self._dirty.pop(slot, None)

    def take_lost(self) -> int:
        """How many dirty chunks were never flushed since the last call: room was needed at once."""
        taken, self._lost = self._lost, 0
        return taken

    def flush_leaving(self, flushing: int) -> list[Offered]:
        """Evict chunks until ``margin`` slots are free or will be; ``flushing`` slots already are.

        Those of tenants near their quotas leave too. A chunk that is evicted is found neither here nor,
        until it is put, in the store.

        Returns:
            What to put; the slots are pinned until then.
        """
        flushes: list[Offered] = []
        while self._index.free + flushing + len(flushes) < self._margin and self._index.room > 0:
            evicted = self._index.evict_pinned()
            if evicted is None:
                break
            self._leave(evicted, flushes)
        while self.is_on and (evicted := self._index.evict_ahead()) is not None:
            self._leave(evicted, flushes)
        return flushes

    def flush_rest(self, most: int) -> list[Offered]:
        """At most ``most`` of the dirty chunks that host memory still holds, as ``flush_leaving``."""
        dirty = self._dirty.values()
        flushes = [each for each in dirty if self._index.holds(each.slot, each.key)][:most]
        for each in flushes:
            del self._dirty[each.slot]
            self._index.pin(each.key)
        return flushes

    def _leave(self, evicted: tuple[int, str], flushes: list[Offered]) -> None:
        """Add what was ``evicted`` to ``flushes`` if it is dirty and worth that; else let it go."""
        slot, key = evicted
        dirty = self._dirty.pop(slot, None)
        if dirty is not None and dirty.key == key and self._is_worth_it(key):
            flushes.append(dirty)
        else:
            self._index.unpin(slot)

    def _is_worth_it(self, key: str) -> bool:
        return self._index.chance(key) >= self._admit_chance
