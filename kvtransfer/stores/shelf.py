"""What memory stores hold: those that are given the same shelf see the same entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True)
class Shelf:
    """Entries of one or several memory stores, by base key."""

    records: dict[str, dict[str, str]] = field(default_factory=dict)
    payloads: dict[str, bytes] = field(default_factory=dict)
    expiries_s: dict[str, float] = field(default_factory=dict)
    """When an entry is over, by the clock of the store that put it."""
    lock: Lock = field(default_factory=Lock)
    """Held for every look at the three."""

    def remove(self, key: str) -> None:
        """Forget what there is of ``key``; the caller holds the lock."""
        for halves in (self.records, self.payloads, self.expiries_s):
            halves.pop(key, None)
