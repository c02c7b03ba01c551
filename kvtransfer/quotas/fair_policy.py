"""Evicts by tenant: each has an eviction policy of its own, and gives way by its share. Pure."""

from __future__ import annotations

import time
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.quotas.limits import tenant_name
from kvtransfer.quotas.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kvtransfer.quotas.holding import Holding
    from kvtransfer.quotas.slot_limits import SlotLimits


class FairPolicy:
    """A :class:`kvtransfer.policies.Policy` for the chunks of all tenants.

    No tenant ever holds more slots than its limit. The keys of one call are of one tenant.

    Args:
        limits: of the tenants.
        policy: name of the eviction policy within a tenant.
        clock: seconds that never go back.
    """

    def __init__(
        self, limits: SlotLimits, policy: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = Tenants(limits, policy, clock)
        self._owners: list[Holding | None] = [None] * limits.slots
        """The holding that the chunk in each slot is part of."""
        self._is_idle = bytearray(limits.slots)
        self._counts: Counter[str] = Counter()
        self._named = ("", *(tenant for tenant in limits.host.named_bytes if tenant))
        self._slot_bytes = limits.slot_bytes
        self._held = 0

    def held(self, tenant: str) -> int:
        """How many slots ``tenant`` holds."""
        holding = self._tenants.find(tenant)
        return 0 if holding is None else holding.held

    def held_bytes(self) -> dict[str, int]:
        """Bytes that each tenant of the quotas file holds, by name, and those of all ``other``."""
        slots = {tenant_name(tenant): self.held(tenant) for tenant in self._named}
        slots["other"] = self._held - sum(slots.values())
        return {name: count * self._slot_bytes for name, count in slots.items()}

    def room(self, tenant: str, free: int, idle: int) -> int:
        """See :meth:`kvtransfer.quotas.tenants.Tenants.room`."""
        return self._tenants.room(tenant, free, idle)

    def is_at_limit(self, tenant: str) -> bool:
        """Whether all that ``tenant`` may hold is pinned, so that it can claim nothing."""
        holding = self._tenants.find(tenant)
        return holding is not None and holding.held - holding.idle >= holding.limit

    def make_room(self, tenant: str, count: int, free: int) -> tuple[int, list[int]]:
        """Make room for ``count`` chunks that ``tenant`` is about to add, or for fewer.

        What is above its limit it takes from its own chunks; the rest from ``free`` slots, then
        from the tenants that give way.

        Returns:
            How many of the free slots to take, and the slots that were evicted beside them.
        """
        holding = self._tenants.use(tenant)
        evicted = self._evict(holding, max(0, holding.held + count - holding.limit))
        self._counts["quota_evicted_chunks"] += len(evicted)
        count = min(count, holding.limit - holding.held)
        taken = min(free, count - len(evicted))
        for claimed in range(len(evicted) + taken, count):
            holding.claiming = claimed + 1
            if (giving := self._tenants.give(holding)) is None:
                break
            evicted += self._evict(giving, 1)
            self._counts["share_evicted_chunks"] += giving is not holding
        holding.claiming = 0
        return taken, evicted

    def evict_ahead(self) -> list[int]:
        """Evict one chunk of a tenant near its quota, if there is one."""
        holding = self._tenants.crowded()
        evicted = [] if holding is None else self._evict(holding, 1)
        self._counts["quota_evicted_chunks"] += len(evicted)
        return evicted

    def take_counts(self) -> Mapping[str, int]:
        """Amounts by counter since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Have the tenant's policy learn, and give the tenant a share."""
        if keys:
            self._tenants.use(tenant_of(keys[0])).note_request(keys, slots)

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Count the chunks as their tenant's."""
        if not keys:
            return
        holding = self._tenants.add(tenant_of(keys[0]), slots, keys, after)
        for slot in slots:
            self._owners[slot] = holding
        self._held += len(slots)

    def unpin(self, slots: Iterable[int]) -> None:
        """Let each tenant's policy have its own."""
        for holding, members in self._by_owner(slots):
            for slot in members:
                self._is_idle[slot] = True
            self._tenants.unpin(holding, members)

    def pin(self, slots: Sequence[int]) -> None:
        """Take from each tenant's policy its own."""
        for holding, members in self._by_owner(slots):
            for slot in members:
                self._is_idle[slot] = False
            self._tenants.pin(holding, members)

    def evict(self, most: int) -> list[int]:
        """Evict from the tenants that give way, one chunk after another."""
        evicted: list[int] = []
        while len(evicted) < most and (giving := self._tenants.give(None)) is not None:
            evicted += self._evict(giving, 1)
        return evicted

    def chance(self, key: str) -> float:
        """What the tenant's policy says; 1 where it has gone."""
        holding = self._tenants.find(tenant_of(key))
        return 1.0 if holding is None else holding.chance(key)

    def remove(self, slot: int) -> None:
        """Have the tenant's policy forget the chunk."""
        holding = self._owner(slot)
        self._tenants.remove(holding, slot, is_idle=bool(self._is_idle[slot]))
        self._disown([slot])

    def _evict(self, holding: Holding, most: int) -> list[int]:
        slots = self._tenants.evict(holding, most) if most else []
        self._disown(slots)
        return slots

    def _disown(self, slots: Sequence[int]) -> None:
        self._held -= len(slots)
        for slot in slots:
            self._owners[slot] = None
            self._is_idle[slot] = False

    def _owner(self, slot: int) -> Holding:
        holding = self._owners[slot]
        assert holding is not None, f"slot {slot} holds nothing"
        return holding

    def _by_owner(self, slots: Iterable[int]) -> Iterator[tuple[Holding, list[int]]]:
        for holding, members in groupby(slots, key=self._owner):
            yield holding, list(members)
