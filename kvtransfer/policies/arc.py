"""Evicts by ARC, the adaptive replacement cache (Megiddo and Modha, FAST 2003)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ARC:
    """Balances recency and frequency by the requests for ghost entries.

    The lists have the paper's names: T1 holds chunks that were requested once, T2 the others, B1
    and B2 are the keys evicted from each, and the target is the length that T1 should have. A
    request for a key in B1 raises the target, one in B2 lowers it. T1 and T2 list idle slots only.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._target = 0.0
        self._t1: OrderedDict[int, None] = OrderedDict()
        self._t2: OrderedDict[int, None] = OrderedDict()
        self._b1: OrderedDict[str, None] = OrderedDict()
        self._b2: OrderedDict[str, None] = OrderedDict()
        self._keys: dict[int, str] = {}
        self._is_frequent: set[int] = set()
        """Slots whose chunks belong in T2, pinned or not."""

    @property
    def recent_share(self) -> float:
        """The share of the slots that T1 should have."""
        return self._target / self._slots

    def resize(self, slots: int) -> None:
        """Take the paper's limits from ``slots``, at once for ghosts."""
        self._slots = slots
        self._target = min(self._target, slots)
        while self._b1 and self._recent + len(self._b1) > slots:
            self._b1.popitem(last=False)
        while self._b2 and len(self._keys) + len(self._b1) + len(self._b2) > 2 * slots:
            self._b2.popitem(last=False)

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Move held chunks to T2, and adapt the target to ghosts."""
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                self._adapt(key)
                continue
            self._is_frequent.add(slot)
            if slot in self._t1:
                del self._t1[slot]
                self._t2[slot] = None

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Assign each chunk to T2 if it has a ghost, otherwise to T1."""
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
            for ghosts in (self._b1, self._b2):
                if key in ghosts:
                    del ghosts[key]
                    self._is_frequent.add(slot)

    def unpin(self, slots: Iterable[int]) -> None:
        """Append the slots to their lists."""
        for slot in slots:
            self._list_of(slot)[slot] = None

    def pin(self, slots: Sequence[int]) -> None:
        """Take the slots out of their lists."""
        for slot in slots:
            del self._list_of(slot)[slot]

    def evict(self, most: int) -> list[int]:
        """Evict from T1 while it is longer than its target, otherwise from T2."""
        count = min(most, len(self._t1) + len(self._t2))
        return [self._evict() for _ in range(count)]

    def chance(self, key: str) -> float:
        """1: ARC learns none."""
        return 1.0

    def remove(self, slot: int) -> None:
        """Take the slot out of its list, without a ghost."""
        self._list_of(slot).pop(slot, None)
        self._forget(slot)

    def _evict(self) -> int:
        from_t1 = self._t1 and (self._recent > self._target or not self._t2)
        slot, _ = (self._t1 if from_t1 else self._t2).popitem(last=False)
        self._add_ghost(self._keys[slot], self._b1 if from_t1 else self._b2)
        self._forget(slot)
        return slot

    @property
    def _recent(self) -> int:
        """The length of T1, pinned slots included."""
        return len(self._keys) - len(self._is_frequent)

    def _adapt(self, key: str) -> None:
        """Move the target if ``key`` is a ghost."""
        b1, b2 = len(self._b1), len(self._b2)
        if key in self._b1:
            self._target = min(self._slots, self._target + max(1.0, b2 / b1))
        elif key in self._b2:
            self._target = max(0.0, self._target - max(1.0, b1 / b2))

    def _list_of(self, slot: int) -> OrderedDict[int, None]:
        return self._t2 if slot in self._is_frequent else self._t1

    def _forget(self, slot: int) -> None:
        del self._keys[slot]
        self._is_frequent.discard(slot)

    def _add_ghost(self, key: str, ghosts: OrderedDict[str, None]) -> None:
        """Add ``key``, and drop the oldest ghost beyond the paper's limits."""
        ghosts[key] = None
        if self._recent + len(self._b1) > self._slots and self._b1:
            self._b1.popitem(last=False)
        elif len(self._keys) + len(self._b1) + len(self._b2) > 2 * self._slots:
            (self._b2 or self._b1).popitem(last=False)
