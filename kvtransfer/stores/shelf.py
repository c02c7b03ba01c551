"""Holds the entries of memory stores; stores on the same shelf see the same entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque


@dataclass(frozen=True)
class Shelf:
    """The entries of one or more memory stores, by base key, and their feeds, by topic."""

    records: dict[str, dict[str, str]] = field(default_factory=dict)
    payloads: dict[str, bytes] = field(default_factory=dict)
    expiries_s: dict[str, float] = field(default_factory=dict)
    """When an entry's time to live ends, by the clock of the store that put it."""
    feeds: dict[str, deque[tuple[int, bytes]]] = field(default_factory=dict)
    """Payloads in order, each with its number in the topic."""
    lock: Lock = field(default_factory=Lock)
    """Held for every access to the four."""

    def remove(self, key: str) -> None:
        """Remove both halves of the entry of ``key``, if any; the caller holds the lock."""
        for halves in (self.records, self.payloads, self.expiries_s):
            halves.pop(key, None)
