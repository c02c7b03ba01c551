"""Reserves room for chunks that a request will load, and claims it piece by piece. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.scheduling.fetches import Fetches
    from kvtransfer.scheduling.index import Index


class Reservations:
    """Gives out reservations of the slots of ``index`` and counts the room that they leave."""

    def __init__(self, index: Index, fetches: Fetches) -> None:
        self._index = index
        self._fetches = fetches
        self._unclaimed: dict[str, int] = {}
        """Slots that reservations will still claim, by budget."""

    @property
    def room(self) -> int:
        """Chunks of everybody that could be given a slot now without taking one that is reserved."""
        return self._index.room - sum(self._unclaimed.values())

    def room_for(self, keys: Sequence[str]) -> int:
        """How many of the chunks ``keys`` could be given a slot now; those held and idle count."""
        budget = self._index.budget(keys)
        return self._index.room_in(budget) - self._unclaimed.get(budget, 0)

    def reserve(self, keys: Sequence[str], later: int = 0) -> Reservation:
        """Reserve room for the leading ``keys``, as many as fit; ``later`` is as of ``Fetches``."""
        slots = self._index.pin_all(keys)
        is_shared = self._fetches.fill_any(slots)
        end = _end_of_room(slots, self.room_for(keys))
        if end < len(slots):
            self._index.unpin_all(slot for slot in slots[end:] if slot is not None)
            del slots[end:]
        priority = self._fetches.priority(slots.count(None), later)
        return Reservation(self, self._index, keys[:end], slots, priority, is_shared=is_shared)

    def change(self, budget: str, slots: int) -> None:
        """Note that ``slots`` more, or fewer where negative, are reserved and not yet claimed."""
        left = self._unclaimed.get(budget, 0) + slots
        if left:
            self._unclaimed[budget] = left
        else:
            self._unclaimed.pop(budget, None)


class Reservation:
    """The room that one request's loads need, in the order of its chunks.

    Chunks that host memory holds are pinned; for each of the others the index keeps a
    slot to claim. ``claim_next`` hands both on to jobs, ``release`` gives back what is left.
    """

    def __init__(
        self,
        reservations: Reservations,
        index: Index,
        keys: Sequence[str],
        slots: list[int | None],
        priority: int,
        *,
        is_shared: bool,
    ) -> None:
        self.slots = slots
        """The slot of each chunk, in order; None: to be fetched, and no slot is claimed yet."""
        self.priority = priority
        """The priority of its fetches, see :class:`kvtransfer.plan.Load`."""
        self.is_shared = is_shared
        """Whether another load is fetching one of the chunks."""
        self.begun = 0
        """Chunks that were handed to jobs."""
        self._reservations = reservations
        self._index = index
        self._keys = keys
        self._budget = index.budget(keys)
        reservations.change(self._budget, self.fetches)

    @property
    def left(self) -> int:
        """Chunks that no job has got yet."""
        return len(self.slots) - self.begun

    @property
    def fetches(self) -> int:
        """Chunks without a job that host memory does not hold."""
        return self.slots[self.begun :].count(None)

    def claim_next(self, most: int) -> tuple[list[int], list[int]]:
        """Claim slots for the next chunks, at most ``most``; fewer while slots are awaited.

        Returns:
            The slots, which pass to the caller with one pin each, and which of them are empty
            until they are fetched.
        """
        end = min(len(self.slots), self.begun + most)
        self._drop_lost(end)
        fetched = self._fill(end)
        slots = [slot for slot in self.slots[self.begun : end] if slot is not None]
        if len(slots) < end - self.begun:
            slots = slots[: self.slots.index(None, self.begun) - self.begun]
        self.begun += len(slots)
        return slots, fetched

    def release(self) -> None:
        """Give back what no job has got."""
        self._reservations.change(self._budget, -self.fetches)
        self._index.unpin_all(slot for slot in self.slots[self.begun :] if slot is not None)
        del self.slots[self.begun :]

    def _drop_lost(self, end: int) -> None:
        """Unpin slots whose bytes never came or were forgotten: those chunks are fetched."""
        for i in range(self.begun, end):
            slot = self.slots[i]
            if slot is not None and not self._index.holds(slot, self._keys[i]):
                self._index.unpin(slot)
                self.slots[i] = None
                self._reservations.change(self._budget, 1)

    def _fill(self, end: int) -> list[int]:
        """Give chunks before ``end`` a slot where they have none; returns those claimed."""
        wanted = [i for i in range(self.begun, end) if self.slots[i] is None]
        if not wanted:
            return []
        found = self._index.pin_all([self._keys[i] for i in wanted])
        missing = [i for i, slot in zip(wanted, found, strict=True) if slot is None]
        claimed = self._index.claim_all([self._keys[i] for i in missing])
        for i, slot in (*zip(wanted, found, strict=True), *zip(missing, claimed, strict=False)):
            self.slots[i] = slot
        self._reservations.change(self._budget, len(missing) - len(claimed) - len(wanted))
        return claimed


def _end_of_room(slots: Sequence[int | None], room: int) -> int:
    """How many of ``slots``, from the first on, fit where ``room`` more can be claimed."""
    room = max(0, room)
    if slots.count(None) <= room:
        return len(slots)
    return [i for i, slot in enumerate(slots) if slot is None][room]
