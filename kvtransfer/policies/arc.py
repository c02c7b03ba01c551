"""Adaptive replacement (Megiddo and Modha, FAST 2003): recency against frequency, by ghosts."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ARC:
    """Two lines, of chunks asked for once and of those asked for again, and their ghosts.

    A request for a ghost shifts the room that the line it fell from may take.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._once_room = 0.0
        self._once: OrderedDict[int, None] = OrderedDict()
        self._again: OrderedDict[int, None] = OrderedDict()
        self._once_gone: OrderedDict[str, None] = OrderedDict()
        self._again_gone: OrderedDict[str, None] = OrderedDict()
        self._keys: dict[int, str] = {}
        self._is_again: set[int] = set()

    @property
    def once_share(self) -> float:
        """Of the slots, what chunks asked for once may take."""
        return self._once_room / self._slots

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Those held or remembered have been asked for again."""
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                self._note_ghost(key)
                continue
            self._is_again.add(slot)
            if slot in self._once:
                del self._once[slot]
                self._again[slot] = None

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Asked for again, if a ghost remembers it; otherwise once."""
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
            for ghosts in (self._once_gone, self._again_gone):
                if key in ghosts:
                    del ghosts[key]
                    self._is_again.add(slot)

    def rest(self, slots: Iterable[int]) -> None:
        """Last in their lines from now on."""
        for slot in slots:
            self._line(slot)[slot] = None

    def use(self, slots: Sequence[int]) -> None:
        """Out of their lines."""
        for slot in slots:
            del self._line(slot)[slot]

    def evict(self, most: int) -> list[int]:
        """From the line that is longer than its share."""
        count = min(most, len(self._once) + len(self._again))
        return [self._evict() for _ in range(count)]

    def chance(self, key: str) -> float:
        """Not learned."""
        return 1.0

    def drop(self, slot: int) -> None:
        """Out of its line, no ghost."""
        self._line(slot).pop(slot, None)
        self._leave(slot)

    def _evict(self) -> int:
        once = len(self._keys) - len(self._is_again)
        from_once = self._once and (once > self._once_room or not self._again)
        slot, _ = (self._once if from_once else self._again).popitem(last=False)
        self._remember(self._keys[slot], self._once_gone if from_once else self._again_gone)
        self._leave(slot)
        return slot

    def _note_ghost(self, key: str) -> None:
        once, again = len(self._once_gone), len(self._again_gone)
        if key in self._once_gone:
            self._once_room = min(self._slots, self._once_room + max(1.0, again / once))
        elif key in self._again_gone:
            self._once_room = max(0.0, self._once_room - max(1.0, once / again))

    def _line(self, slot: int) -> OrderedDict[int, None]:
        return self._again if slot in self._is_again else self._once

    def _leave(self, slot: int) -> None:
        del self._keys[slot]
        self._is_again.discard(slot)

    def _remember(self, key: str, ghosts: OrderedDict[str, None]) -> None:
        ghosts[key] = None
        once = len(self._keys) - len(self._is_again)
        if once + len(self._once_gone) > self._slots and self._once_gone:
            self._once_gone.popitem(last=False)
        elif len(self._keys) + len(self._once_gone) + len(self._again_gone) > 2 * self._slots:
            (self._again_gone or self._once_gone).popitem(last=False)
