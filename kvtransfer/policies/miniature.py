"""A cache of few slots under a policy of its own, to see how often it is hit."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.policies import Policy


class Miniature:
    """Holds no bytes: the chunks of a request are there at once, as far as there is room."""

    def __init__(self, policy: Policy, slots: int) -> None:
        self._policy = policy
        self._slots: dict[str, int] = {}
        self._keys = [""] * slots
        self._free = list(range(slots))

    def serve(self, keys: Sequence[str]) -> int:
        """How many of ``keys``, from the first on, it holds; then it holds all of them."""
        held = self._slots
        self._policy.note_request(keys, held)
        resting = [held[key] for key in keys if key in held]
        self._policy.use(resting)
        hits = len(resting)
        if hits < len(keys):
            hits = next(number for number, key in enumerate(keys) if key not in held)
            for stretch in list(self._missing(keys)):
                resting += self._bring(keys, stretch)
        self._policy.rest(resting)
        return hits

    def _missing(self, keys: Sequence[str]) -> Iterator[range]:
        """Where ``keys`` are that it lacks."""
        held = self._slots
        for is_held, members in groupby(range(len(keys)), key=lambda i: keys[i] in held):
            if not is_held:
                places = list(members)
                yield range(places[0], places[-1] + 1)

    def _bring(self, keys: Sequence[str], stretch: range) -> list[int]:
        """The slots that it gives to this ``stretch`` of ``keys``."""
        slots = self._vacate(len(stretch))
        new = keys[stretch.start : stretch.start + len(slots)]
        after = self._slots.get(keys[stretch.start - 1]) if stretch.start else None
        self._policy.add(slots, new, after)
        for slot, key in zip(slots, new, strict=True):
            self._slots[key] = slot
            self._keys[slot] = key
        return slots

    def _vacate(self, count: int) -> list[int]:
        slots = self._free[:count]
        del self._free[:count]
        if len(slots) < count:
            evicted = self._policy.evict(count - len(slots))
            for slot in evicted:
                del self._slots[self._keys[slot]]
            slots += evicted
        return slots
