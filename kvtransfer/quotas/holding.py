"""What one tenant holds of host memory, and the eviction policy of its chunks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.policies.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kvtransfer.policies import Policy

# A policy is told that the tenant has more slots or fewer where that is this part of them.
_LEAST_CHANGE = 5


class Holding:
    """The chunks of one tenant.

    A policy that learns has tables of its own, so a tenant of few chunks is evicted from by LRU.

    Args:
        tenant: whose they are.
        limit: the most slots that it may hold.
        few: up to this many chunks are few.
        opened: opens the eviction policy for more than that.
    """

    def __init__(self, tenant: str, limit: int, few: int, opened: Callable[[], Policy]) -> None:
        self.tenant = tenant
        self.limit = limit
        self.held = 0
        """Slots that hold a chunk of the tenant's, pinned or not."""
        self.idle = 0
        """Slots among them that are not pinned."""
        self.claiming = 0
        """Slots that the tenant is about to get."""
        self.queued: int | None = None
        """Its size in the order of giving way, see :mod:`kvtransfer.quotas.giving_order`."""
        self.is_active = True
        """Whether the tenant has a share."""
        self.used_s = 0.0
        """When it last had a request."""
        self._few = few
        self._opened = opened
        self._fitted = 0
        """How many slots the policy decides as for; 0: as for all."""
        self._policy = LRU(few) if few else opened()
        self._keys: dict[int, str] | None = {} if few else None
        """The chunks by slot, oldest first, while they are few."""

    @property
    def size(self) -> int:
        """Slots that the tenant holds, or is about to."""
        return self.held + self.claiming

    def fit(self, share: int) -> None:
        """Have the policy decide as for the slots that the tenant has, of which ``share`` are its own.

        One that learns begins to compare anew, so it is not told of small changes.
        """
        slots = max(share, self.held)
        if abs(slots - self._fitted) * _LEAST_CHANGE > self._fitted:
            self._fitted = slots
            self._policy.resize(slots)

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """See :class:`kvtransfer.policies.Policy`."""
        self._policy.note_request(keys, slots)

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """See :class:`kvtransfer.policies.Policy`."""
        self.held += len(slots)
        if self._keys is not None and self.held > self._few:
            self._grow(self._keys)
        if self._keys is not None:
            self._keys.update(zip(slots, keys, strict=True))
        self._policy.add(slots, keys, after)

    def unpin(self, slots: Sequence[int]) -> None:
        """See :class:`kvtransfer.policies.Policy`."""
        self.idle += len(slots)
        self._policy.unpin(slots)

    def pin(self, slots: Sequence[int]) -> None:
        """See :class:`kvtransfer.policies.Policy`."""
        self.idle -= len(slots)
        self._policy.pin(slots)

    def evict(self, most: int) -> list[int]:
        """See :class:`kvtransfer.policies.Policy`."""
        slots = self._policy.evict(most)
        self.idle -= len(slots)
        self._left(slots)
        return slots

    def remove(self, slot: int, *, is_idle: bool) -> None:
        """See :class:`kvtransfer.policies.Policy`."""
        self._policy.remove(slot)
        self.idle -= is_idle
        self._left([slot])

    def chance(self, key: str) -> float:
        """See :class:`kvtransfer.policies.Policy`."""
        return self._policy.chance(key)

    def _left(self, slots: Sequence[int]) -> None:
        self.held -= len(slots)
        if self._keys is not None:
            for slot in slots:
                del self._keys[slot]

    def _grow(self, keys: Mapping[int, str]) -> None:
        """Hand the few ``keys`` that there are to the policy for many."""
        idle = self._policy.evict(len(keys))
        self._policy, self._keys = self._opened(), None
        self._policy.resize(self._fitted)
        for slot, key in keys.items():
            self._policy.add([slot], [key], None)
        self._policy.unpin(idle)
