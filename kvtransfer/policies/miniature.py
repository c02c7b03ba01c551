"""Simulates a small cache without bytes, to see how often a policy would be hit."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.policies import Policy


class MiniatureCache:
    """Simulates ``slots`` slots under ``policy``; a request's chunks are cached immediately."""

    def __init__(self, policy: Policy, slots: int) -> None:
        self._policy = policy
        self._slots: dict[str, int] = {}
        self._keys = [""] * slots
        self._free = list(range(slots))

    def serve(self, keys: Sequence[str]) -> int:
        """Count the leading ``keys`` that it holds, then cache all of them as far as there is room."""
        held = self._slots
        self._policy.note_request(keys, held)
        pinned = [held[key] for key in keys if key in held]
        if pinned:
            self._policy.pin(pinned)
        hits = len(pinned)
        if hits < len(keys):
            gaps = list(self._gaps(keys)) if pinned else [range(len(keys))]
            hits = gaps[0].start
            for gap in gaps:
                pinned += self._fill(keys, gap)
        self._policy.unpin(pinned)
        return hits

    def _gaps(self, keys: Sequence[str]) -> Iterator[range]:
        """Positions of neighbouring ``keys`` that it lacks."""
        held = self._slots
        for is_held, members in groupby(range(len(keys)), key=lambda i: keys[i] in held):
            if not is_held:
                positions = list(members)
                yield range(positions[0], positions[-1] + 1)

    def _fill(self, keys: Sequence[str], gap: range) -> list[int]:
        """Cache the ``keys`` in ``gap``; returns their slots."""
        slots = self._claim(len(gap))
        new = keys[gap.start : gap.start + len(slots)]
        after = self._slots.get(keys[gap.start - 1]) if gap.start else None
        self._policy.add(slots, new, after)
        for slot, key in zip(slots, new, strict=True):
            self._slots[key] = slot
            self._keys[slot] = key
        return slots

    def _claim(self, count: int) -> list[int]:
        """Free or evicted slots, fewer than ``count`` if the others are pinned."""
        slots = self._free[:count]
        del self._free[:count]
        if len(slots) < count:
            evicted = self._policy.evict(count - len(slots))
            for slot in evicted:
                del self._slots[self._keys[slot]]
            slots += evicted
        return slots
