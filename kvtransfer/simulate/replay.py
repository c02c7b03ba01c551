"""Replays requests, one after another, through the index and eviction policy of the real cache."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from kvtransfer.scheduling.index import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST, DISK, REMOTE = TIERS = ("host", "disk", "remote")


@dataclass(frozen=True)
class Sizes:
    """The size of each tier in chunks; 0: there is no such tier."""

    host: int
    disk: int = 0
    remote: int = 0

    @property
    def total(self) -> int:
        """The size of all tiers together."""
        return self.host + self.disk + self.remote

    def at_most(self, chunks: int) -> Sizes:
        """Return these sizes, none of them above ``chunks``."""
        return Sizes(*(min(size, chunks) for size in (self.host, self.disk, self.remote)))


class Hierarchy:
    """Host memory that evicts by ``policy``, with a disk and a remote store that evict by LRU.

    A hit behind host memory is copied into it. A computed chunk is written to every tier
    immediately. With ``admit_chance`` it is written to disk and remote only when host memory evicts
    it, and only if its reuse probability, as the policy estimates it, is at least that.
    """

    def __init__(self, sizes: Sizes, policy: str, admit_chance: float | None = None) -> None:
        self._admit_chance = admit_chance
        self._in_slot: dict[int, str] = {}
        self._host = Index(sizes.host, policy)
        behind = {DISK: sizes.disk, REMOTE: sizes.remote}
        self._behind = {tier: Index(slots, "lru") for tier, slots in behind.items() if slots}
        self.written: Counter[str] = Counter()
        """Chunks by tier."""

    def serve(self, keys: Sequence[str]) -> Counter[str]:
        """Serve a request: the chunks of its cached prefix by the tier that serves them."""
        self._host.note_request(keys)
        found = list(takewhile(bool, map(self._tier_of, keys)))
        for tier, key in zip(found, keys, strict=False):
            if tier != HOST:
                _use(self._behind[tier], key)
        self._bring(keys, len(found))
        if self._admit_chance is None:
            self._write(keys[len(found) :])
        return Counter(found)

    def _tier_of(self, key: str) -> str:
        if key in self._host:
            return HOST
        return next((tier for tier, index in self._behind.items() if key in index), "")

    def _bring(self, keys: Sequence[str], found: int) -> None:
        """Bring ``keys``, of which ``found`` are cached, into host memory while there is room."""
        host = self._host
        held = {key: host.pin(key) for key in keys[:found] if key in host}
        taken = list(held.values())
        for before, key in zip([None, *keys], keys, strict=False):
            if key in host:
                continue
            slot = host.claim(key, before)
            if slot is None:
                break
            self.written[HOST] += 1
            taken.append(slot)
            self._replace(slot, key)
        for slot in taken:
            host.unpin(slot)

    def _replace(self, slot: int, key: str) -> None:
        gone = self._in_slot.get(slot)
        self._in_slot[slot] = key
        if gone is None or self._admit_chance is None:
            return
        if self._host.chance(gone) >= self._admit_chance:
            self._write([gone])

    def _write(self, keys: Sequence[str]) -> None:
        for tier, index in self._behind.items():
            for key in keys:
                self.written[tier] += _put(index, key)


def _use(index: Index, key: str) -> None:
    index.unpin(index.pin(key))


def _put(index: Index, key: str) -> bool:
    slot = None if key in index else index.claim(key)
    if slot is None:
        return False
    index.unpin(slot)
    return True
