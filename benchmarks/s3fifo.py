"""Evicts by S3-FIFO, behind the index's interface, to compare our policies with it.

Yang et al., "FIFO Queues Are All You Need for Cache Eviction", SOSP 2023.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import count

_SMALL_SHARE = 0.1
_MOST_USES = 3


class S3FIFO:
    """New chunks enter the small queue; chunks used there, or in the ghost queue, enter the main one."""

    def __init__(self, slots):
        self._small_room = max(1, int(_SMALL_SHARE * slots))
        self._ghost_room = slots - self._small_room
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._keys: dict[int, str] = {}
        self._uses: dict[int, int] = {}
        self._resting: set[int] = set()

    def note_request(self, keys, slots):
        for key in keys:
            slot = slots.get(key)
            if slot is not None:
                self._uses[slot] = min(_MOST_USES, self._uses[slot] + 1)

    def add(self, slots, keys, after):
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot], self._uses[slot] = key, 0
            if key in self._gone:
                del self._gone[key]
                self._main.append(slot)
            else:
                self._small.append(slot)

    def unpin(self, slots):
        self._resting.update(slots)

    def pin(self, slots):
        self._resting.difference_update(slots)

    def evict(self, most):
        return [self._evict() for _ in range(min(most, len(self._resting)))]

    def _evict(self):
        patience = (_MOST_USES + 1) * len(
            self._main
        )  # then every chunk of the main queue is pinned
        for tried in count():
            is_full = len(self._small) >= self._small_room or tried > patience
            is_small = not self._main or (is_full and bool(self._small))
            slot = (self._small if is_small else self._main).popleft()
            if slot not in self._resting:
                self._main.append(slot)
            elif self._uses[slot] == 0:
                if is_small:
                    self._remember(self._keys[slot])
                self._resting.remove(slot)
                return slot
            else:
                self._uses[slot] = 0 if is_small else self._uses[slot] - 1
                self._main.append(slot)

    def chance(self, key):
        return 1.0

    def remove(self, slot):
        queue = self._small if slot in self._small else self._main
        queue.remove(slot)
        self._resting.discard(slot)

    def _remember(self, key):
        self._gone[key] = None
        if len(self._gone) > self._ghost_room:
            self._gone.popitem(last=False)
