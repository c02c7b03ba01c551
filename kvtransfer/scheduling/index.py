"""Keeps which chunk is in which slot of host memory, who uses it, and which is evicted next.

Pure bookkeeping for one thread: the slots' memory is elsewhere, on every rank. A policy says what
is evicted, see :mod:`kvtransfer.policies`; where tenants have quotas, it also says how many slots
each may claim, see :mod:`kvtransfer.quotas`.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.policies import open_policy
from kvtransfer.scheduling.changes import ChangeLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kvtransfer.quotas.fair_policy import FairPolicy
    from kvtransfer.scheduling.changes import Change


class Index:
    """``slots`` slots, numbered from 0.

    A slot is free, or holds a chunk: pinned while a job uses it, otherwise idle and evicted when
    another chunk needs room, in the order of ``policy``. A forgotten chunk is no longer found; its
    slot is free once nothing pins it.

    Args:
        slots: how many there are.
        policy: name of an eviction policy.
        change_limit: changes kept for ``take_changes``, see
            :class:`kvtransfer.scheduling.changes.ChangeLog`; 0: none are logged.
        tenants: evicts in place of ``policy``, by tenant; None: tenants have no quotas.
    """

    def __init__(
        self,
        slots: int,
        policy: str = "learned",
        change_limit: int = 0,
        tenants: FairPolicy | None = None,
    ) -> None:
        self._policy = tenants or open_policy(policy, slots)
        self._tenants = tenants
        self._free = list(range(slots - 1, -1, -1))
        self._slots: dict[str, int] = {}
        self._keys: list[str | None] = [None] * slots
        self._pins = [0] * slots
        self._idle = 0
        self._evictions = 0
        self._changes = ChangeLog(change_limit) if change_limit else None

    def __contains__(self, key: str) -> bool:
        return key in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    def leading(self, keys: Sequence[str]) -> int:
        """How many of ``keys``, from the first on, are held."""
        return sum(1 for _ in takewhile(self._slots.__contains__, keys))

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self._pins)

    @property
    def free(self) -> int:
        """How many slots hold nothing."""
        return len(self._free)

    @property
    def room(self) -> int:
        """Chunks that could be claimed now."""
        return len(self._free) + self._idle

    def budget(self, keys: Sequence[str]) -> str:
        """Whose room the chunks ``keys`` take: their tenant's, or empty where room is everybody's."""
        return "" if self._tenants is None or not keys else tenant_of(keys[0])

    def room_in(self, budget: str) -> int:
        """Chunks of ``budget`` that could be claimed now."""
        if self._tenants is None:
            return self.room
        return self._tenants.room(budget, len(self._free), self._idle)

    def is_at_quota(self, key: str) -> bool:
        """Whether the tenant of ``key`` has a quota, and uses all of it at this moment."""
        return self._tenants is not None and self._tenants.is_at_limit(tenant_of(key))

    def find_all(self, keys: Sequence[str]) -> list[int | None]:
        """The slots of ``keys``; None for a chunk that is not held."""
        return list(map(self._slots.get, keys))

    def pins(self, keys: Sequence[str]) -> list[int | None]:
        """How many pins the slot of each of ``keys`` has; at 0 it counts as room; None: not held."""
        pins = self._pins
        return [None if slot is None else pins[slot] for slot in map(self._slots.get, keys)]

    def holds(self, slot: int, key: str) -> bool:
        """Whether ``slot`` is where ``key`` is found."""
        return self._keys[slot] == key

    def note_request(self, keys: Sequence[str]) -> None:
        """A request for ``keys``, in the order of their tokens, has come; once for each request.

        All are of one tenant.
        """
        self._policy.note_request(keys, self._slots)

    def claim(self, key: str, after: str | None = None) -> int | None:
        """A slot, pinned once, for ``key`` which is not held; None when all are pinned.

        Args:
            key: the chunk.
            after: the chunk before it.
        """
        slots = self.claim_all([key], after)
        return slots[0] if slots else None

    def claim_all(self, keys: Sequence[str], after: str | None = None, pins: int = 1) -> list[int]:
        """Slots for ``keys``, as many as there is room for.

        Args:
            keys: none of them held and none named twice; each continues the one before it, and all
                are of one tenant.
            after: the chunk before the first.
            pins: how many pins each slot gets.

        Raises:
            ValueError: a key is held already.
        """
        held = self._slots
        if not held.keys().isdisjoint(keys):
            key = next(filter(held.__contains__, keys))
            raise ValueError(f"{key} already has slot {held[key]}")
        slots = self._vacate(keys)
        keys = keys[: len(slots)]
        self._policy.add(slots, keys, None if after is None else held.get(after))
        held.update(zip(keys, slots, strict=True))
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
            self._pins[slot] = pins
        return slots

    def chance(self, key: str) -> float:
        """The chance that ``key``, just evicted, is asked for again, as far as the policy knows."""
        return self._policy.chance(key)

    def pin(self, key: str) -> int:
        """Keep the slot of ``key``, which is held, until ``unpin``; returns it."""
        slot = self._slots[key]
        if self._pins[slot] == 0:
            self._policy.pin([slot])
            self._idle -= 1
        self._pins[slot] += 1
        return slot

    def pin_all(self, keys: Sequence[str]) -> list[int | None]:
        """Pin what is held of ``keys``; the slots of all, None for a chunk that is not held."""
        slots = list(map(self._slots.get, keys))
        resting, pins = [], self._pins
        for slot in slots:
            if slot is not None:
                if pins[slot] == 0:
                    resting.append(slot)
                pins[slot] += 1
        self._policy.pin(resting)
        self._idle -= len(resting)
        return slots

    def unpin(self, slot: int) -> None:
        """Take one pin off ``slot``."""
        self.unpin_all([slot])

    def unpin_all(self, slots: Iterable[int]) -> None:
        """Take one pin off each of ``slots``, as often as it is named.

        Raises:
            ValueError: a slot is not pinned.
        """
        resting: list[int] = []
        for slot in slots:
            pins = self._pins[slot]
            if pins == 0:
                raise ValueError(f"slot {slot} is not pinned")
            self._pins[slot] = pins - 1
            if pins == 1:
                (self._free if self._keys[slot] is None else resting).append(slot)
        self._idle += len(resting)
        self._policy.unpin(resting)

    def evict_pinned(self) -> tuple[int, str] | None:
        """Evict the next chunk: its slot, pinned once, and its key; None: all are pinned."""
        return self._pin_evicted(self._policy.evict(1))

    def evict_ahead(self) -> tuple[int, str] | None:
        """Evict a chunk of a tenant near its quota, as ``evict_pinned``; None: there is none."""
        return None if self._tenants is None else self._pin_evicted(self._tenants.evict_ahead())

    def forget(self, slot: int) -> None:
        """Don't find the chunk in ``slot`` any more; a slot without one stays as it is."""
        if self._keys[slot] is None:
            return
        self._policy.remove(slot)
        self._remove(slot)
        if self._pins[slot] == 0:
            self._idle -= 1
            self._free.append(slot)

    def clear(self) -> None:
        """Forget every chunk."""
        for slot in list(self._slots.values()):
            self.forget(slot)

    def take_evictions(self) -> int:
        """How many chunks were evicted since the last call."""
        taken, self._evictions = self._evictions, 0
        return taken

    def take_tenant_counts(self) -> Mapping[str, int]:
        """Evictions by counter, of those that a quota or a share caused, since the last call."""
        return {} if self._tenants is None else self._tenants.take_counts()

    def tenant_bytes(self) -> Mapping[str, int]:
        """Bytes that each tenant holds, by name, for a gauge; empty where they have no quotas."""
        return {} if self._tenants is None else self._tenants.held_bytes()

    def publish(self, slots: Iterable[int]) -> None:
        """Log that the bytes of the chunks in ``slots`` are there; a slot without one is skipped."""
        if self._changes is not None:
            for slot in slots:
                key = self._keys[slot]
                if key is not None:
                    self._changes.add(key)

    def take_changes(self) -> list[Change]:
        """Which chunks came and left since the last call, in order; empty if none are logged.

        A chunk is added once it is published, and removed when it is no longer found.
        """
        return [] if self._changes is None else self._changes.take()

    def _vacate(self, keys: Sequence[str]) -> list[int]:
        """Slots that hold nothing now, for ``keys``; fewer where the others are pinned or denied."""
        count = len(keys)
        if self._tenants is not None and keys:
            taken, evicted = self._tenants.make_room(tenant_of(keys[0]), count, len(self._free))
            slots = self._take_free(taken)
        else:
            slots = self._take_free(count)
            evicted = self._policy.evict(count - len(slots)) if len(slots) < count else []
        for slot in evicted:
            self._evicted(slot)
        return slots + evicted

    def _take_free(self, most: int) -> list[int]:
        slots = self._free[: -most - 1 : -1]
        del self._free[len(self._free) - len(slots) :]
        return slots

    def _pin_evicted(self, slots: Sequence[int]) -> tuple[int, str] | None:
        """The slot, pinned once, and the key of the one chunk, if any, that was evicted."""
        for slot in slots:
            key = self._evicted(slot)
            self._pins[slot] = 1
            return slot, key
        return None

    def _evicted(self, slot: int) -> str:
        """Take out of ``slot`` the chunk that the policy evicts; returns its key."""
        self._idle -= 1
        self._evictions += 1
        return self._remove(slot)

    def _remove(self, slot: int) -> str:
        key = self._keys[slot]
        assert key is not None, f"the policy evicts slot {slot}, which holds nothing"
        del self._slots[key]
        self._keys[slot] = None
        if self._changes is not None:
            self._changes.remove(key)
        return key
