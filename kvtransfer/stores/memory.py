"""Keeps entries in the memory of this process: the simplest store that keeps the contract."""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING, Self

from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.interface import Store, StoredEntry, any_length
from kvtransfer.stores.record import ChunkRecord
from kvtransfer.stores.schemes import unknown_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.record import ChunkFacts
    from kvtransfer.stores.settings import StoreSettings


class MemoryStore(Store):
    """Holds copies of payloads on a :class:`Shelf`, and evicts none: memory grows with each put."""

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> MemoryStore:
        """See :class:`Store`."""
        cls.check(url, settings)
        return cls(settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`; ``memory://`` takes no more parts."""
        if url != "memory://":
            raise unknown_store(url)

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> MemoryFeed:
        """See :class:`Store`; the feed is on the shelf of ``settings``."""
        cls.check(url, settings)
        return MemoryFeed(settings.shelf)

    def __init__(
        self, settings: StoreSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = settings.ttl_s
        self._renewed_ttl_s = settings.ttl_s
        self._hit_ttl_s = settings.hit_ttl_s
        self._seals = settings.seals
        self._only_reads = settings.only_reads
        self._shelf = settings.shelf
        self._clock = clock

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`."""
        with self._shelf.lock:
            return [self._has_both_halves(key) for key in keys]

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._shelf.lock:
            record = self._record(key)
            if record is not None and record.identity.nbytes <= len(buffer):
                target = buffer[: record.identity.nbytes]
                target[:] = self._shelf.payloads[key]
                if self._seals.open_whole(record, target, tenant):
                    self._live_on(key, self._hit_ttl_s)
                    return record
            if not self._only_reads:
                self._shelf.remove(key)
        return None

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        with self._shelf.lock:
            is_kept = self._seals.keep(self._record(key), serves)
            if is_kept:
                self._live_on(key, self._renewed_ttl_s)
        return is_kept

    def living_for(self, ttl_s: int) -> Self:
        """See :class:`Store`; not longer than the ``ttl_s`` of its settings."""
        living = copy(self)
        living._ttl_s = ttl_s if self._ttl_s is None else min(ttl_s, self._ttl_s)
        living._renewed_ttl_s = None
        return living

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`."""
        with self._shelf.lock, self._seals.sealed(key, facts, payload, tenant) as sealed:
            self._shelf.records[key] = sealed.record().to_fields()
            self._shelf.payloads[key] = bytes(sealed.payload)
            self._shelf.expiries_s.pop(key, None)
            self._live_on(key, self._ttl_s)
        return True

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`."""
        with self._shelf.lock:
            records = [self._record(key) for key in list(self._shelf.records)]
        for record in records:
            if record is not None:
                yield StoredEntry.of(record)

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._shelf.lock:
            return self._record(key)

    def record_of(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._shelf.lock:
            self._expire(key)
            return ChunkRecord.read(self._shelf.records.get(key, {}), key)

    def orphans(self) -> Iterator[str]:
        """See :class:`Store`."""
        with self._shelf.lock:
            halves = [key for key in self._shelf.payloads if key not in self._shelf.records]
        yield from halves

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        with self._shelf.lock:
            self._shelf.remove(key)

    def close(self) -> None:
        """See :class:`Store`."""

    def _live_on(self, key: str, ttl_s: int | None) -> None:
        if ttl_s is not None:
            self._shelf.expiries_s[key] = self._clock() + ttl_s

    def _has_both_halves(self, key: str) -> bool:
        self._expire(key)
        return key in self._shelf.records and key in self._shelf.payloads

    def _record(self, key: str) -> ChunkRecord | None:
        """Return the record of ``key``, if its payload is as long as it says; None otherwise."""
        if not self._has_both_halves(key):
            return None
        record = ChunkRecord.read(self._shelf.records[key], key)
        fits = record and record.identity.nbytes == len(self._shelf.payloads[key])
        return record if fits else None

    def _expire(self, key: str) -> None:
        expiry_s = self._shelf.expiries_s.get(key)
        if expiry_s is not None and expiry_s <= self._clock():
            self._shelf.remove(key)
