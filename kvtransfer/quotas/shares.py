"""Divides slots among tenants by max-min fairness: equal shares, and what some may not use to the others.

See Bertsekas and Gallager, "Data Networks", section 6.5. Pure.
"""

from __future__ import annotations

from collections import Counter


class Shares:
    """The shares of the tenants that want some of ``slots`` slots, each with a limit."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._limits: Counter[int] = Counter()
        """How many tenants have each limit."""
        self._level = slots
        """The share of a tenant whose limit allows that."""

    def add(self, limit: int) -> None:
        """One more tenant wants slots, at most ``limit``."""
        self._limits[limit] += 1
        self._level = self._find_level()

    def remove(self, limit: int) -> None:
        """A tenant of this ``limit`` wants none any more."""
        self._limits[limit] -= 1
        if not self._limits[limit]:
            del self._limits[limit]
        self._level = self._find_level()

    def of(self, limit: int) -> int:
        """Return the slots that are a tenant's share, at least one, if it may hold ``limit``."""
        return min(limit, self._level)

    def _find_level(self) -> int:
        left, tenants = self._slots, self._limits.total()
        for limit in sorted(self._limits):
            if limit * tenants > left:
                return max(1, left // tenants)
            left -= limit * self._limits[limit]
            tenants -= self._limits[limit]
        return self._slots
