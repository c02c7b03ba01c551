"""Knows the tenants that use host memory, what share of it each has, and which gives way. Pure.

A tenant takes what others leave, and gives it back when they want their shares.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.policies import open_policy
from kvtransfer.quotas.giving_order import GivingOrder
from kvtransfer.quotas.holding import Holding
from kvtransfer.quotas.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.quotas.slot_limits import SlotLimits

# A tenant's chunks leave ahead of need where less than this part of its quota is unused.
_MARGIN_SHARE = 16
# At most this many tenants hold more than few chunks at once.
_MOST_LARGE = 64


class Tenants:
    """The tenants that hold chunks, or have sent a request lately.

    A tenant is active while its last request is no older than ``idle_after_s``, and among the
    latest of as many tenants as there are slots. The others have no share, and give way first.

    Args:
        limits: of the tenants.
        policy: name of the eviction policy within a tenant.
        clock: seconds that never go back.
    """

    def __init__(self, limits: SlotLimits, policy: str, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._few = limits.slots // _MOST_LARGE
        self._opened = partial(open_policy, policy, limits.slots)
        self._clock = clock
        self._order = GivingOrder()
        self._active: OrderedDict[str, Holding] = OrderedDict()
        """Holdings by tenant, that used longest ago first; below, of those that aren't active."""
        self._inactive: OrderedDict[str, Holding] = OrderedDict()
        self._shares = Shares(limits.slots)
        """The shares of active tenants."""
        self._crowded: dict[str, Holding] = {}
        """Tenants that were near their quotas, by name."""
        self._inactive_idle = 0
        """Slots that tenants without a share have to give."""

    def find(self, tenant: str) -> Holding | None:
        """What ``tenant`` holds; None where that is nothing, and it is not active."""
        return self._active.get(tenant) or self._inactive.get(tenant)

    def use(self, tenant: str) -> Holding:
        """What ``tenant`` holds, which has a request now."""
        holding = self._active.pop(tenant, None)
        if holding is None:
            holding = self._activated(tenant)
        holding.used_s = self._clock()
        self._active[tenant] = holding
        self._retire(holding.used_s - self._limits.host.idle_after_s)
        holding.fit(self._shares.of(holding.limit))
        return holding

    def room(self, tenant: str, free: int, idle: int) -> int:
        """Slots that ``tenant`` could claim now, of ``free`` slots and ``idle`` chunks of anybody.

        A tenant below its share may take what others hold; one above it, what is free, its own
        chunks, and those of tenants without a share.
        """
        mine = self.find(tenant)
        limit = self._limits.of_tenant(tenant)
        is_active = mine is not None and mine.is_active
        own, held = (0, 0) if mine is None else (mine.idle, mine.held)
        given = free + self._inactive_idle + (own if mine is None or is_active else 0)
        wanted = self._shares.of(limit) - held + own
        return min(free + idle, limit - held + own, max(given, wanted))

    def give(self, claimer: Holding | None) -> Holding | None:
        """The tenant that gives its next chunk, for ``claimer`` if there is one; None: none can.

        A tenant that holds as much as any gives way to itself.
        """
        if self._inactive_idle:
            return next(holding for holding in self._inactive.values() if holding.idle)
        largest = self._order.first()
        if claimer is None or not claimer.idle:
            return largest
        return claimer if largest is None or claimer.size >= largest.size else largest

    def add(
        self, tenant: str, slots: Sequence[int], keys: Sequence[str], after: int | None
    ) -> Holding:
        """``slots``, which are pinned, hold ``keys`` of the tenant's now; returns what it holds."""
        holding = self.use(tenant)
        holding.add(slots, keys, after)
        self._order.note(holding)
        if holding.held > self._most_ahead(holding):
            self._crowded[tenant] = holding
        return holding

    def crowded(self) -> Holding | None:
        """A tenant near its quota that has something to give; None: there is none."""
        for tenant, holding in list(self._crowded.items()):
            if holding.held <= self._most_ahead(holding):
                del self._crowded[tenant]
            elif holding.idle:
                return holding
        return None

    def unpin(self, holding: Holding, slots: Sequence[int]) -> None:
        """``slots`` of the tenant's may be evicted now."""
        holding.unpin(slots)
        self._changed(holding, len(slots))
        self._order.note(holding)

    def pin(self, holding: Holding, slots: Sequence[int]) -> None:
        """``slots`` of the tenant's may not be evicted any more."""
        holding.pin(slots)
        self._changed(holding, -len(slots))

    def evict(self, holding: Holding, most: int) -> list[int]:
        """Evict at most ``most`` chunks of the tenant's; returns their slots."""
        slots = holding.evict(most)
        self._changed(holding, -len(slots))
        return slots

    def remove(self, holding: Holding, slot: int, *, is_idle: bool) -> None:
        """The tenant's chunk in ``slot`` is no longer found."""
        holding.remove(slot, is_idle=is_idle)
        self._changed(holding, -is_idle)

    def _most_ahead(self, holding: Holding) -> int:
        """The most slots that leave a margin of the tenant's quota, if it has one."""
        limit = holding.limit
        return limit if limit == self._limits.slots else limit - -(-limit // _MARGIN_SHARE)

    def _changed(self, holding: Holding, idle: int) -> None:
        """The tenant has ``idle`` more slots to give, or fewer where negative."""
        if holding.is_active:
            return
        self._inactive_idle += idle
        if not holding.held:
            del self._inactive[holding.tenant]

    def _activated(self, tenant: str) -> Holding:
        """The holding of ``tenant``, which was not active."""
        holding = self._inactive.pop(tenant, None)
        if holding is None:
            holding = Holding(tenant, self._limits.of_tenant(tenant), self._few, self._opened)
        else:
            self._inactive_idle -= holding.idle
            holding.is_active = True
            self._order.note(holding)
        self._shares.add(holding.limit)
        return holding

    def _retire(self, before_s: float) -> None:
        """Take the shares of tenants that were last used before ``before_s``, or are too many."""
        while len(self._active) > self._limits.slots or self._oldest_s() < before_s:
            tenant, holding = self._active.popitem(last=False)
            holding.is_active = False
            self._crowded.pop(tenant, None)
            self._shares.remove(holding.limit)
            self._inactive_idle += holding.idle
            if holding.held:
                self._inactive[tenant] = holding

    def _oldest_s(self) -> float:
        return next(iter(self._active.values())).used_s
